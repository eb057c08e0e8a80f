"""What TensorRT is given: the bundle's graphs, rewritten so that nothing stands in the way of its fusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, LATENT_DECODER, VIDEO_ENCODER, VOCODER, Bundle
from mdsgen.errors import ExportError
from mdsgen.export.activations import open_model
from mdsgen.export.linear_layers import linear_layers
from mdsgen.export.plan_graph import fold_constants, normalise_layers, plan_graph
from mdsgen.export.precision import in_precision
from mdsgen.geometry import PAPER, RELEASE
from mdsgen.parity import snr_db
from mdsgen.precision import PRECISIONS
from tests.export.conftest import SIZE

Graphs = dict[str, dict[str, onnx.ModelProto]]
Plans = Callable[[str, str], onnx.ModelProto]

EACH = pytest.mark.parametrize("name", GRAPHS)
BOTH = pytest.mark.parametrize("precision", ["fp32", "fp16"])
IN_FP32 = {
    VIDEO_ENCODER: {"ReduceMean", "ReduceL2", "Clip", "Expand", "Div"},  # a mean, and a length to divide by
    CONDITIONING: {"LayerNormalization", "Unsqueeze", "Mul", "Sin", "Cos"},  # angles of timesteps
    DENOISER: {"LayerNormalization"},
    LATENT_DECODER: {"LayerNormalization", "ReduceMean"},
    VOCODER: set(),
}
"""All operators of the small model's plans in FP16 that compute in FP32."""


@pytest.fixture(scope="module")
def plan(graphs: Graphs) -> Plans:
    """The small model's graphs as TensorRT is to have them: ``plan("fp16", "denoiser")``."""
    made: dict[tuple[str, str], onnx.ModelProto] = {}

    def call(precision: str, name: str) -> onnx.ModelProto:
        if (precision, name) not in made:
            model = onnx.ModelProto()
            model.CopyFrom(graphs[precision][name])
            made[precision, name] = plan_graph(model, PRECISIONS[precision])
        return made[precision, name]

    return call


def computed(model: onnx.ModelProto, seed: int = 0) -> np.ndarray:
    """What ONNX Runtime makes of random inputs."""
    random = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value or 2 for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    feeds = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    found: np.ndarray = open_model(model).run(None, feeds)[0]
    return found


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def computes_in_fp32(model: onnx.ModelProto) -> Iterator[str]:
    """The operators that compute anything from a value in FP32."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input)}
    for node in graph.node:
        if node.op_type != "Cast" and TensorProto.FLOAT in {kinds.get(name) for name in node.input}:
            yield node.op_type


@BOTH
@EACH
def test_a_plan_computes_what_its_bundle_does(graphs: Graphs, plan: Plans, precision: str, name: str) -> None:
    model = plan(precision, name)
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.output] == [v.name for v in graphs[precision][name].graph.output]
    least = 100 if precision == "fp32" else 50
    assert snr_db(computed(graphs[precision][name]), computed(model)) > least


@BOTH
def test_group_normalisation_is_a_layer_s_over_the_values_of_a_group(
    graphs: Graphs, plan: Plans, precision: str
) -> None:
    before, after = operators(graphs[precision][LATENT_DECODER]), operators(plan(precision, LATENT_DECODER))
    assert before["InstanceNormalization"] == after["LayerNormalization"] == 30
    assert all("InstanceNormalization" not in operators(plan(precision, name)) for name in GRAPHS)
    sizes = [np.prod(tensor.dims) for tensor in plan(precision, LATENT_DECODER).graph.initializer]
    assert max(sizes) < 4000, "no ones as large as a picture"


@EACH
def test_in_fp16_only_normalisations_reductions_and_angles_compute_in_fp32(plan: Plans, name: str) -> None:
    assert set(computes_in_fp32(plan("fp16", name))) == IN_FP32[name]


def test_nothing_is_cast_between_a_convolution_and_its_activation(graphs: Graphs, plan: Plans) -> None:
    assert operators(graphs["fp16"][VOCODER])["Cast"] > 100, "ONNX Runtime has no leaky ReLU in FP16"
    assert operators(plan("fp16", VOCODER))["Cast"] == 2, "of the input and the output"


@BOTH
def test_queries_keys_and_values_are_one_product_and_position_biases_are_constants(plan: Plans, precision: str) -> None:
    model = plan(precision, DENOISER)
    assert operators(model)["Gather"] == 0
    assert len(linear_layers(model)) == 4 * SIZE.depth + 1
    biases = [t for t in model.graph.initializer if tuple(t.dims) == (1, SIZE.heads, PAPER.tokens, PAPER.tokens)]
    assert len(biases) == SIZE.depth


def test_large_position_biases_stay_as_they_are(graphs: Graphs) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp16"][DENOISER])
    unfolded = plan_graph(model, PRECISIONS["fp16"], fold=False)
    assert operators(unfolded)["Gather"] == operators(graphs["fp16"][DENOISER])["Gather"] > 0
    assert max(np.prod(tensor.dims) for tensor in unfolded.graph.initializer) <= PAPER.tokens**2


def test_weights_in_int8_stay_so_and_nothing_of_an_int8_denoiser_is_joined_twice(quantised: Bundle) -> None:
    before = onnx.load(quantised.path(DENOISER))
    reference = computed(before)
    kept = operators(before)
    model = plan_graph(before, PRECISIONS["int8"])
    found = operators(model)
    assert {name: found[name] for name in ("QuantizeLinear", "DequantizeLinear", "MatMul", "Split")} == {
        name: kept[name] for name in ("QuantizeLinear", "DequantizeLinear", "MatMul", "Split")
    }
    assert found["Gather"] == 0
    assert snr_db(reference, computed(model)) > 60


# One at a time


def small(*nodes: onnx.NodeProto, shape: tuple[int, ...] = (1, 2, 6), **stored: np.ndarray) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    tensors = [numpy_helper.from_array(values, name) for name, values in stored.items()]
    graph = helper.make_graph(list(nodes), "small", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_scale_and_a_shift_of_groups_follow_the_normalisation() -> None:
    scale, shift = np.array([2.0, 3.0], np.float32), np.array([0.5, -1.0], np.float32)
    model = small(helper.make_node("InstanceNormalization", ["x", "s", "t"], ["y"], epsilon=1e-3), s=scale, t=shift)
    expected = computed(model)
    normalise_layers(model)
    onnx.checker.check_model(model, full_check=True)
    assert operators(model) == Counter(["ConstantOfShape", "LayerNormalization", "Mul", "Add"])
    np.testing.assert_allclose(computed(model), expected, rtol=1e-5)


def test_an_instance_normalisation_of_pictures_is_refused_by_name() -> None:
    ones = np.ones(2, np.float32)
    node = helper.make_node("InstanceNormalization", ["x", "s", "s"], ["y"], "pictures")
    with pytest.raises(ExportError, match=r"pictures normalises .*: expected a group normalisation"):
        normalise_layers(small(node, shape=(1, 2, 3, 4), s=ones))


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    table, index = np.arange(12, dtype=np.float32).reshape(6, 2), np.array([5, 0, 1, 1, 2, 3])
    nodes = (
        helper.make_node("Gather", ["table", "index"], ["rows"], axis=0),
        helper.make_node("Transpose", ["rows"], ["bias"], perm=[1, 0]),
        helper.make_node("Add", ["x", "bias"], ["y"]),
    )
    model = small(*nodes, table=table, index=index)
    expected = computed(model)
    fold_constants(model)
    assert operators(model) == Counter(["Add"])
    assert [tensor.name for tensor in model.graph.initializer] == ["bias"]
    np.testing.assert_array_equal(computed(model), expected)


def test_the_release_s_geometry_is_the_one_that_is_not_folded() -> None:
    assert RELEASE.tokens > 512 >= PAPER.tokens


def test_a_constant_that_is_read_in_both_types_is_found_by_both_readers() -> None:
    """An untrained model's biases are one tensor of zeros, for products and normalisations alike."""
    ones, square = np.ones(6, np.float32), np.eye(6, dtype=np.float32)
    nodes = (
        helper.make_node("MatMul", ["x", "w"], ["a"], "a"),
        helper.make_node("Add", ["a", "one"], ["b"], "b"),
        helper.make_node("LayerNormalization", ["b", "one", "one"], ["c"], "c"),
        helper.make_node("LeakyRelu", ["c"], ["y"], "d"),
    )
    half = in_precision(small(*nodes, w=square, one=ones), VOCODER, "fp16")
    expected = computed(half)
    plan = plan_graph(half, PRECISIONS["fp16"])
    onnx.checker.check_model(plan, full_check=True)
    np.testing.assert_allclose(computed(plan), expected, atol=2e-3)
