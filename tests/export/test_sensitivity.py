"""Layers stay in FP32 by what they harm for what they save, and what they harm is measured."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mdsgen.export.calibration import Feed
from mdsgen.export.linear_layers import LinearLayer, linear_layers
from mdsgen.export.sensitivity import LEAST_SNR_DB, MOST_KEPT, kept_layers, noise_snr_db, sensitivities
from mdsgen.parity import snr_db


def layer(name: str, products: int) -> LinearLayer:
    return LinearLayer(name, name, f"{name} in", f"{name} weight", products)


def names(layers: list[LinearLayer]) -> list[str]:
    return [layer.name for layer in layers]


SMALL = [layer(name, 100) for name in "abcdefghijklmnopqrstuvwxy"]
"""25 layers of 4 % each: two of them may stay."""


def test_the_most_harmful_stay_until_no_more_may() -> None:
    found = {layer.name: 40.0 for layer in SMALL} | {"c": 20.0, "m": 10.0, "x": 15.0}
    assert names(kept_layers(SMALL, found)) == ["m", "x"]


def test_harm_counts_for_the_products_that_a_layer_saves() -> None:
    layers = [layer("large", 1000), layer("small", 100), layer("rest", 20_000)]
    found = {"large": 20.0, "small": 23.0, "rest": 60.0}  # the large one harms twice as much, and saves ten times
    assert names(kept_layers(layers, found)) == ["small", "large"]


def test_a_layer_that_is_too_large_to_be_kept_does_not_stop_the_smaller_ones() -> None:
    layers = [layer("half", 5000), layer("small", 500), layer("rest", 5000)]
    assert names(kept_layers(layers, {"half": 3.0, "small": 30.0, "rest": 60.0})) == ["small"]


def test_nothing_stays_where_all_is_good_enough_together() -> None:
    enough = LEAST_SNR_DB + 10 * math.log10(len(SMALL)) + 0.1
    assert kept_layers(SMALL, {layer.name: enough for layer in SMALL}) == []
    assert kept_layers(SMALL, {layer.name: math.inf for layer in SMALL}) == []
    one = {layer.name: 60.0 for layer in SMALL} | {"d": 30.0}
    assert names(kept_layers(SMALL, one)) == ["d"], "and no more than that"


@settings(max_examples=50)
@given(found=st.lists(st.floats(-20, 100), min_size=25, max_size=25))
def test_never_more_than_a_tenth_of_the_products_stays(found: list[float]) -> None:
    kept = kept_layers(SMALL, dict(zip(names(SMALL), found, strict=True)))
    assert sum(layer.products for layer in kept) <= MOST_KEPT * sum(layer.products for layer in SMALL)
    assert len(set(names(kept))) == len(kept)


# What is measured


@pytest.fixture(scope="module")
def two_layers() -> onnx.ModelProto:
    """``noise = (latent · first) · second``, the middle's channels of very different sizes."""
    random = np.random.default_rng(0)
    first = random.standard_normal((16, 8), np.float32) * np.logspace(-2, 1, 8, dtype=np.float32)
    second = random.standard_normal((8, 16), np.float32)
    tensor = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["latent", "first"], ["middle"], "/first/MatMul"),
                helper.make_node("MatMul", ["middle", "second"], ["noise"], "/second/MatMul"),
            ],
            "two",
            [tensor("latent", TensorProto.FLOAT, [1, 30, 16]), tensor("modulations", TensorProto.FLOAT, [2, 1, 1])],
            [tensor("noise", TensorProto.FLOAT, [1, 30, 16])],
            [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def rounded(values: np.ndarray, largest: np.ndarray | float) -> np.ndarray:
    step = np.asarray(largest) / 127
    result: np.ndarray = np.clip(np.rint(values / step), -127, 127) * step
    return result


def test_each_layer_is_judged_alone_as_by_hand(two_layers: onnx.ModelProto) -> None:
    first, second = (numpy_helper.to_array(tensor) for tensor in two_layers.graph.initializer)
    random, nothing = np.random.default_rng(1), np.zeros((2, 1, 1), np.float32)
    latents = [random.standard_normal((1, 30, 16), np.float32) for _ in range(3)]
    feeds = [Feed(latent, nothing, latent @ first @ second) for latent in latents]
    x = np.stack(latents)
    maxima = {"latent": np.abs(x).max(axis=(0, 1, 2)), "middle": np.abs(x @ first).max(axis=(0, 1, 2))}

    lines: list[str] = []
    layers = linear_layers(two_layers)
    found = sensitivities(two_layers, layers, maxima, feeds, lines.append)

    in_first = rounded(x, np.abs(x).max()) @ rounded(first, np.abs(first).max(axis=0)) @ second
    in_second = rounded(x @ first, np.abs(x @ first).max()) @ rounded(second, np.abs(second).max(axis=0))
    exact = x @ first @ second
    assert found == pytest.approx({"first": snr_db(exact, in_first), "second": snr_db(exact, in_second)}, abs=0.2)
    assert found["second"] < 60
    assert lines == [f"measuring INT8 in {name} alone, layer {n} of 2" for n, name in ((1, "first"), (2, "second"))]
    assert noise_snr_db(two_layers, feeds) > 100, "in FP32 it is what the feeds say"
