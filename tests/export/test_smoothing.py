"""Smoothing changes nothing in FP32, and makes what INT8 has trouble with easier for it."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mdsgen.export.activations import Activations
from mdsgen.export.int8 import to_int8
from mdsgen.export.linear_layers import LinearLayer, constants, join_projections, linear_layers
from mdsgen.export.smoothing import smooth
from mdsgen.parity import snr_db
from tests.export.conftest import passes, run

FEEDS = passes(3)
FEEDS[0]["modulations"][:, :, 5] *= 30  # a channel that reaches farther than the others, as trained models have some


@pytest.fixture
def joined(denoiser: onnx.ModelProto) -> onnx.ModelProto:
    return join_projections(denoiser)


def maxima(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    watched = Activations(model)
    for feed in FEEDS:
        watched(**feed)
    return watched.maxima


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    tensors = constants(model)
    return {layer.name: numpy_helper.to_array(tensors[layer.weight]).copy() for layer in linear_layers(model)}


def named(model: onnx.ModelProto, name: str) -> LinearLayer:
    (layer,) = [layer for layer in linear_layers(model) if layer.name == name]
    return layer


def modulated(name: str) -> bool:
    return name.endswith(("query+key+value", "fc1")) or name == "final_layer.linear"


def test_in_fp32_the_noise_stays_what_it_was(joined: onnx.ModelProto) -> None:
    before = run(joined, FEEDS)
    smooth(joined, maxima(joined))
    onnx.checker.check_model(joined, full_check=True)
    assert np.linalg.norm(run(joined, FEEDS) - before) <= 1e-5 * np.linalg.norm(before)


def test_nodes_without_names_are_smoothed_each_by_its_own_factors(joined: onnx.ModelProto) -> None:
    before = run(joined, FEEDS)
    for node in joined.graph.node:
        node.name = ""
    smooth(joined, maxima(joined))
    onnx.checker.check_model(joined, full_check=True)
    assert np.linalg.norm(run(joined, FEEDS) - before) <= 1e-5 * np.linalg.norm(before)


def test_the_maxima_it_gives_are_those_that_are_measured_then(joined: onnx.ModelProto) -> None:
    given = smooth(joined, maxima(joined))
    measured = maxima(joined)
    assert given.keys() == measured.keys()
    for name, values in given.items():
        np.testing.assert_allclose(values, measured[name], rtol=1e-3, atol=1e-5)


def test_layers_behind_a_modulated_normalisation_change_and_no_others(joined: onnx.ModelProto) -> None:
    found, before = maxima(joined), weights(joined)
    given, after = smooth(joined, found), weights(joined)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == set(filter(modulated, before))
    for layer in linear_layers(joined):
        assert np.array_equal(given[layer.input], found[layer.input]) == (not modulated(layer.name))


def test_a_channel_that_reaches_far_costs_fewer_decibels(joined: onnx.ModelProto) -> None:
    name, expected, found = "blocks.1.mlp.fc1", run(joined, FEEDS), maxima(joined)
    rough = to_int8(joined, [named(joined, name)], found)
    smoother = smooth(joined, found)
    fine = to_int8(joined, [named(joined, name)], smoother)
    assert snr_db(expected, run(fine, FEEDS)) >= snr_db(expected, run(rough, FEEDS)) + 6


def test_of_strength_0_weights_alone_become_even(joined: onnx.ModelProto) -> None:
    smooth(joined, maxima(joined), strength=0.0)
    rows = np.abs(weights(joined)["blocks.0.mlp.fc1"]).max(axis=1)
    np.testing.assert_allclose(rows, rows[0], rtol=1e-4)


def test_an_activation_that_somebody_else_reads_is_left_alone(joined: onnx.ModelProto) -> None:
    layer, found = named(joined, "blocks.0.mlp.fc1"), maxima(joined)
    shared = copy.deepcopy(joined)
    shared.graph.node.append(helper.make_node("Identity", [layer.input], ["seen"], "seen"))
    twice = copy.deepcopy(joined)
    twice.graph.node.append(helper.make_node("Identity", [layer.weight], ["seen"], "seen"))
    for model in (shared, twice):
        before = weights(model)
        given, after = smooth(model, found), weights(model)
        np.testing.assert_array_equal(after[layer.name], before[layer.name])
        np.testing.assert_array_equal(given[layer.input], found[layer.input])
        assert not np.array_equal(after["blocks.1.mlp.fc1"], before["blocks.1.mlp.fc1"])


def test_channels_that_are_always_zero_stay_finite(joined: onnx.ModelProto) -> None:
    found = {name: np.where(np.arange(values.size) == 3, 0, values) for name, values in maxima(joined).items()}
    given = smooth(joined, found)
    assert all(np.isfinite(values).all() for values in (*given.values(), *weights(joined).values()))
