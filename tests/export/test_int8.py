"""INT8 graphs: explicit Q/DQ that every engine reads, and that ONNX Runtime really multiplies integers for."""

from __future__ import annotations

import copy
import platform
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mdsgen import __version__
from mdsgen.export.activations import Activations, open_model
from mdsgen.export.int8 import store_int8, to_int8, with_full_weights
from mdsgen.export.linear_layers import LinearLayer, constants, join_projections, linear_layers
from mdsgen.export.onnx_graph import OPSET
from mdsgen.parity import snr_db
from tests.export.conftest import passes, run

FEEDS = passes(2)


@pytest.fixture(scope="module")
def joined(graphs: dict[str, dict[str, onnx.ModelProto]]) -> onnx.ModelProto:
    return join_projections(copy.deepcopy(graphs["fp32"]["denoiser"]))


@pytest.fixture(scope="module")
def maxima(joined: onnx.ModelProto) -> dict[str, np.ndarray]:
    watched = Activations(joined)
    for feed in FEEDS:
        watched(**feed)
    return watched.maxima


@pytest.fixture(scope="module")
def chosen(joined: onnx.ModelProto) -> list[LinearLayer]:
    """All layers but three."""
    layers = linear_layers(joined)
    return [layer for layer in layers if "blocks.1.mlp" not in layer.name and "final" not in layer.name]


@pytest.fixture(scope="module")
def quantised(joined: onnx.ModelProto, chosen: list[LinearLayer], maxima: dict[str, np.ndarray]) -> onnx.ModelProto:
    return to_int8(joined, chosen, maxima)


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def literally(model: onnx.ModelProto) -> np.ndarray:
    """What it says, node by node: optimised, weights in INT8 may be multiplied with rounded activations as well."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, feed)[0] for feed in FEEDS])


def node_of(model: onnx.ModelProto, layer: LinearLayer) -> onnx.NodeProto:
    (node,) = [node for node in model.graph.node if layer.output in node.output]
    return node


# Arithmetic in INT8


def test_both_factors_of_every_chosen_layer_come_out_of_int8(
    quantised: onnx.ModelProto, chosen: list[LinearLayer], maxima: dict[str, np.ndarray]
) -> None:
    made, tensors = makers(quantised), constants(quantised)
    for layer in chosen:
        activation, weight = (made[name] for name in node_of(quantised, layer).input)
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        quantise = made[activation.input[0]]
        assert (quantise.op_type, quantise.input[0]) == ("QuantizeLinear", layer.input)
        assert quantise.input[1:] == activation.input[1:], "there and back by the same scale"
        assert tensors[weight.input[0]].data_type == TensorProto.INT8
        for node in (activation, weight):
            zeros = tensors[node.input[2]]
            assert zeros.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(zeros).any()
        scale = numpy_helper.to_array(tensors[activation.input[1]])
        assert scale.shape == ()
        assert scale == pytest.approx(maxima[layer.input].max() / 127, rel=1e-5)


def test_weights_have_a_scale_per_output_channel_that_uses_all_of_int8(
    quantised: onnx.ModelProto, joined: onnx.ModelProto, chosen: list[LinearLayer]
) -> None:
    made, tensors, before = makers(quantised), constants(quantised), constants(joined)
    for layer in chosen:
        node = made[node_of(quantised, layer).input[1]]
        exact = numpy_helper.to_array(before[layer.weight])  # [K, N]
        stored, scales = (numpy_helper.to_array(tensors[name]) for name in node.input[:2])
        assert {attribute.name: attribute.i for attribute in node.attribute} == {"axis": 1}
        np.testing.assert_allclose(scales, np.abs(exact).max(axis=0) / 127, rtol=1e-5)
        assert (np.abs(stored.astype(int)).max(axis=0) == 127).all()
        assert (np.abs(stored * scales - exact) <= 0.501 * scales).all()


def test_other_layers_and_the_model_it_was_made_of_stay_as_they_were(
    joined: onnx.ModelProto, chosen: list[LinearLayer], maxima: dict[str, np.ndarray]
) -> None:
    before = joined.SerializeToString()
    quantised = to_int8(joined, chosen, maxima)
    assert joined.SerializeToString() == before
    for layer in linear_layers(joined):
        if layer not in chosen:
            assert list(node_of(quantised, layer).input) == [layer.input, layer.weight]
    extra = Counter(node.op_type for node in quantised.graph.node)
    extra.subtract(Counter(node.op_type for node in joined.graph.node))
    assert +extra == {"QuantizeLinear": len(chosen), "DequantizeLinear": 2 * len(chosen)}
    assert to_int8(joined, [], maxima).SerializeToString() == before


def test_it_is_plain_onnx_of_the_same_opset(quantised: onnx.ModelProto) -> None:
    onnx.checker.check_model(quantised, full_check=True)  # its nodes in order, among other things
    assert [(opset.domain, opset.version) for opset in quantised.opset_import] == [("", OPSET)]
    assert {node.domain for node in quantised.graph.node} == {""}
    assert (quantised.producer_name, quantised.producer_version) == ("mdsgen", __version__)
    names = [node.name for node in quantised.graph.node]
    assert len(set(names)) == len(names)
    read = {name for node in quantised.graph.node for name in node.input}
    assert {tensor.name for tensor in quantised.graph.initializer} <= read, "no weight is stored twice"


def test_the_noise_is_still_the_noise(quantised: onnx.ModelProto, joined: onnx.ModelProto) -> None:
    assert 25 <= snr_db(run(joined, FEEDS), run(quantised, FEEDS)) < 80


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors have other kernels")
def test_onnx_runtime_multiplies_integers(
    quantised: onnx.ModelProto, chosen: list[LinearLayer], tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantised.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["MatMulIntegerToFloat"] + kinds["QLinearMatMul"] == len(chosen)
    assert kinds["DequantizeLinear"] == 0, "nothing is taken back to FP32 before it is multiplied"


# Weights in INT8


def product(kind: str, shape: tuple[int, ...], feed: tuple[int, ...], axis: int, **attributes: int) -> onnx.ModelProto:
    """One node whose output channels, along ``axis`` of its weight, have magnitudes from 1e-3 to 1e3."""
    sizes = np.logspace(-3, 3, shape[axis], dtype=np.float32).reshape(
        [-1 if i == axis else 1 for i in range(len(shape))]
    )
    weight = np.random.default_rng(0).standard_normal(shape, np.float32) * sizes
    tensor = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(kind, ["x", "w"], ["y"], "node", **attributes)],
            "one",
            [tensor("x", TensorProto.FLOAT, feed)],
            [tensor("y", TensorProto.FLOAT, [None] * len(feed))],
            [numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )


KINDS = {
    "MatMul": product("MatMul", (64, 96), (1, 5, 64), axis=1),
    "Gemm": product("Gemm", (64, 96), (5, 64), axis=1),
    "Gemm, transposed": product("Gemm", (96, 64), (5, 64), axis=0, transB=1),
    "Conv": product("Conv", (96, 8, 3, 3), (1, 8, 6, 6), axis=0),
    "Conv in groups": product("Conv", (96, 64, 1), (1, 128, 7), axis=0, group=2),
    "ConvTranspose": product("ConvTranspose", (16, 64, 4), (1, 16, 9), axis=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_channel_is_rounded_by_its_own_scale(kind: str) -> None:
    model = copy.deepcopy(KINDS[kind])
    exact = numpy_helper.to_array(constants(model)["w"]).copy()
    stored = store_int8(copy.deepcopy(model))
    onnx.checker.check_model(stored, full_check=True)
    dequantise = makers(stored)["w"]
    values, scales, zeros = (numpy_helper.to_array(constants(stored)[name]) for name in dequantise.input)
    (axis,) = (attribute.i for attribute in dequantise.attribute)
    shape = [-1 if i == axis else 1 for i in range(exact.ndim)]
    others = tuple(i for i in range(exact.ndim) if i != axis)
    assert values.dtype == np.int8
    assert not zeros.any()
    np.testing.assert_allclose(scales, np.abs(exact).max(axis=others) / 127, rtol=1e-6)
    assert (np.abs(values * scales.reshape(shape) - exact) <= 0.501 * scales.reshape(shape)).all()

    feed = np.random.default_rng(1).standard_normal(
        [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    )
    before, after = (open_model(m).run(None, {"x": feed.astype(np.float32)})[0] for m in (model, stored))
    channels = 1 if kind.startswith("Conv") else before.ndim - 1
    for one, other in zip(np.moveaxis(before, channels, 0), np.moveaxis(after, channels, 0), strict=True):
        assert snr_db(one, other) >= 20, "faint channels are as exact as loud ones"


@settings(max_examples=20)
@given(largest=st.floats(0, 1e6), seed=st.integers(0, 9))
def test_no_weight_is_off_by_more_than_half_a_step(largest: float, seed: int) -> None:
    model = copy.deepcopy(KINDS["MatMul"])
    exact = np.random.default_rng(seed).uniform(-largest, largest, (64, 96)).astype(np.float32)
    exact[:, 0] = 0  # a channel without any
    constants(model)["w"].CopyFrom(numpy_helper.from_array(exact, "w"))
    tensors = constants(store_int8(model))
    scales = numpy_helper.to_array(tensors["w.scales"])
    assert (scales > 0).all()
    assert (np.abs(numpy_helper.to_array(tensors["w.int8"]) * scales - exact) <= 0.501 * scales).all()


def test_small_weights_and_what_is_no_weight_are_kept(denoiser: onnx.ModelProto) -> None:
    before = {tensor.name: tuple(tensor.dims) for tensor in denoiser.graph.initializer}
    products = {node.input[1] for node in denoiser.graph.node if node.op_type in ("MatMul", "Conv")}
    stored = constants(store_int8(denoiser))
    replaced = before.keys() - stored.keys()
    assert replaced == {name for name in products & before.keys() if np.prod(before[name]) >= 4096}
    assert replaced, "the MLPs' are large enough"


# For TensorRT before 10


@pytest.mark.parametrize("made", ["to_int8", "store_int8"])
def test_with_full_weights_it_computes_the_same(
    made: str, quantised: onnx.ModelProto, denoiser: onnx.ModelProto
) -> None:
    model = copy.deepcopy(quantised) if made == "to_int8" else store_int8(denoiser)
    full = with_full_weights(copy.deepcopy(model))
    onnx.checker.check_model(full, full_check=True)
    tensors, made_by = constants(full), makers(full)
    for node in full.graph.node:
        if node.op_type == "DequantizeLinear":
            assert made_by[node.input[0]].op_type == "QuantizeLinear"
            assert made_by[node.input[0]].input[1:] == node.input[1:]
    assert {tensor.data_type for name, tensor in tensors.items() if name.endswith(".full")} == {TensorProto.FLOAT}
    expected = literally(model)
    np.testing.assert_allclose(literally(full), expected, atol=1e-6 * np.abs(expected).max())


def test_full_weights_lie_on_the_steps_of_int8(quantised: onnx.ModelProto) -> None:
    full = with_full_weights(copy.deepcopy(quantised))
    before, after = constants(quantised), constants(full)
    for node in full.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in after:
            values, scales = (numpy_helper.to_array(after[name]) for name in node.input[:2])
            stored = numpy_helper.to_array(before[node.output[0]])
            np.testing.assert_array_equal(np.rint(values / scales).astype(np.int8), stored)


def test_a_weight_that_is_read_twice_is_scaled_once(quantised: onnx.ModelProto) -> None:
    twice = copy.deepcopy(quantised)
    stored = {tensor.name for tensor in twice.graph.initializer if tensor.data_type == TensorProto.INT8}
    index, node = next(
        (index, node)
        for index, node in enumerate(twice.graph.node)
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    )
    again = onnx.NodeProto.FromString(node.SerializeToString())
    again.name, again.output[0] = "again", "again"
    twice.graph.node.insert(index, again)
    shape = constants(twice)[node.input[0]].dims
    twice.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, shape))
    full = with_full_weights(copy.deepcopy(twice))
    onnx.checker.check_model(full, full_check=True)
    for expected, found in zip(*(open_model(model).run(None, FEEDS[0]) for model in (twice, full)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    made = [output for each in full.graph.node for output in each.output]
    assert made.count(node.input[0]) == 1


def test_nodes_without_names_are_quantised_where_they_were_chosen(
    joined: onnx.ModelProto, chosen: list[LinearLayer], maxima: dict[str, np.ndarray], quantised: onnx.ModelProto
) -> None:
    nameless = copy.deepcopy(joined)
    for node in nameless.graph.node:
        node.name = ""
    found = to_int8(nameless, chosen, maxima)
    np.testing.assert_array_equal(run(found, FEEDS), run(quantised, FEEDS))
    kinds = Counter(node.op_type for node in found.graph.node)
    assert (kinds["QuantizeLinear"], kinds["DequantizeLinear"]) == (len(chosen), 2 * len(chosen))
