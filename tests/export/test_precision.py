"""FP16 graphs: half the weights' size, FP32 where the numbers need it, and no rounding in between."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, VOCODER, Bundle
from mdsgen.engines import open_engine
from mdsgen.errors import ExportError
from mdsgen.export import Models
from mdsgen.export.graphs import Conditioning
from mdsgen.export.precision import MADE, in_precision
from mdsgen.geometry import FEATURE_CHANNELS, PAPER
from mdsgen.parity import snr_db
from mdsgen.precision import PRECISIONS

Graphs = dict[str, dict[str, onnx.ModelProto]]

EACH = pytest.mark.parametrize("name", GRAPHS)
FP32 = {"Sin", "Cos", "LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceL2", "LeakyRelu"}
"""What sums over many values, needs more than three digits of its input, or has no FP16 kernel on a CPU."""


def dtypes(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value, inferred anew. Raises where types do not fit together."""
    blank = onnx.ModelProto()
    blank.CopyFrom(model)
    del blank.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(blank, check_type=True, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        weight.name: weight.data_type for weight in graph.initializer
    }


@EACH
def test_weights_are_stored_in_fp16(bundles: dict[str, Bundle], graphs: Graphs, name: str) -> None:
    count: Counter[int] = Counter()
    for weight in graphs["fp16"][name].graph.initializer:
        count[weight.data_type] += int(np.prod(weight.dims))
    assert count[TensorProto.FLOAT16] > 50 * count[TensorProto.FLOAT]


@EACH
def test_inputs_and_outputs_stay_fp32(graphs: Graphs, name: str) -> None:
    graph = graphs["fp16"][name].graph
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


@EACH
def test_islands_compute_in_fp32_and_the_rest_in_fp16(graphs: Graphs, name: str) -> None:
    model = graphs["fp16"][name]
    kinds = dtypes(model)
    islands = [node for node in model.graph.node if node.op_type in FP32]
    assert islands
    assert {kinds[node.input[0]] for node in islands} == {TensorProto.FLOAT}
    heavy = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")]
    assert heavy
    assert {kinds[tensor] for node in heavy for tensor in node.input} == {TensorProto.FLOAT16}


@EACH
def test_nothing_is_rounded_between_two_nodes_in_fp32(graphs: Graphs, name: str) -> None:
    graph = graphs["fp16"][name].graph
    kinds = dtypes(graphs["fp16"][name])
    producers = {tensor: node for node in graph.node for tensor in node.output}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        before = producers.get(node.input[0])
        if node.op_type == "Cast" and before is not None and before.op_type == "Cast":
            assert node.output[0] in outputs, f"{before.name} rounds for {node.name}"
            assert kinds[before.input[0]] == TensorProto.FLOAT


def test_neighbouring_islands_are_joined() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    chain = [("x", "a"), ("a", "b"), ("b", "y")]
    nodes = [helper.make_node("LeakyRelu", [one], [other], name=f"{one} to {other}") for one, other in chain]
    model = helper.make_model(helper.make_graph(nodes, "chain", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    found = [node for node in in_precision(model, VOCODER, "fp16").graph.node if node.op_type == "LeakyRelu"]
    assert len(found) == 3
    for before, after in pairwise(found):
        assert list(after.input) == list(before.output)


def test_angles_are_computed_in_fp32_from_the_last_normalisation_on() -> None:
    """A vocoder's phases are angles: its head stays in FP32, the blocks before it do not."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in "xy")
    square = np.eye(64, dtype=np.float32)
    weights = {"block": square, "gain": square[0], "head": square}
    nodes = [
        helper.make_node("MatMul", ["x", "block"], ["a"], name="a"),
        helper.make_node("LayerNormalization", ["a", "gain"], ["b"], name="b"),
        helper.make_node("MatMul", ["b", "head"], ["c"], name="c"),
        helper.make_node("Sin", ["c"], ["y"], name="d"),
    ]
    stored = [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "vocoder", [x], [y], stored), opset_imports=[helper.make_opsetid("", 17)]
    )
    half = in_precision(model, VOCODER, "fp16").graph
    kinds = {weight.name: weight.data_type for weight in half.initializer}
    assert (kinds["block"], kinds["head"]) == (TensorProto.FLOAT16, TensorProto.FLOAT)


def test_timesteps_keep_their_fractions(bundles: dict[str, Bundle], models: Models) -> None:
    """FP16 has no fractions at 959: the fastest sinusoid would be half a radian off."""
    torch.manual_seed(0)
    features = torch.randn(1, PAPER.video_frames, FEATURE_CHANNELS)
    timesteps = torch.tensor([959.04, 919.08, 799.2, 999.0, 512.5])
    with open_engine(bundles["fp16"].path(CONDITIONING)) as engine:
        found = engine.run({"features": features.numpy(), "timesteps": timesteps.numpy()})["modulations"]
    expected = Conditioning(models.denoiser)(features, timesteps).numpy()
    rounded = Conditioning(models.denoiser)(features, timesteps.half().float()).numpy()
    assert snr_db(expected, found) >= 45
    assert snr_db(expected, rounded) < 45, "the timesteps must matter, or this test shows nothing"


def test_every_precision_can_be_made() -> None:
    assert MADE.keys() == PRECISIONS.keys()


def test_a_denoiser_that_nobody_quantised_is_not_stored_as_int8(graphs: Graphs) -> None:
    """Only the other networks of such a bundle may be without Q/DQ."""
    with pytest.raises(ExportError, match="the denoiser has no INT8 in it: make it with"):
        in_precision(graphs["fp32"][DENOISER], DENOISER, "int8")
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp32"][CONDITIONING])
    stored = in_precision(model, CONDITIONING, "int8").graph.initializer
    assert TensorProto.FLOAT16 in {tensor.data_type for tensor in stored}
