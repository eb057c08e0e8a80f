"""Linear layers are found where they are, and those that read the same activation become one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mdsgen.export.linear_layers import constants, join_projections, linear_layers
from tests.export.conftest import SIZE, passes, run

WIDTH = 4


def graph(*nodes: tuple[str, str, list[str]]) -> onnx.ModelProto:
    """Nodes of (operator, name, inputs); each makes what it is called. ``w…`` are weights, ``b…`` vectors."""
    random = np.random.default_rng(0)
    made = [helper.make_node(kind, inputs, [name], name) for kind, name, inputs in nodes]
    names = {name for _, _, inputs in nodes for name in inputs if name[0] in "wb"}
    values = {name: random.standard_normal((WIDTH,) * (1 + (name[0] == "w")), np.float32) for name in sorted(names)}
    read = {name for _, _, inputs in nodes for name in inputs}
    ends = [name for _, name, _ in nodes if name not in read]
    tensor = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            made,
            "layers",
            [tensor(name, TensorProto.FLOAT, [1, WIDTH]) for name in ("x", "y")],
            [tensor(name, TensorProto.FLOAT, [1, WIDTH]) for name in ends],
            [numpy_helper.from_array(value, name) for name, value in values.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def outputs(model: onnx.ModelProto) -> list[np.ndarray]:
    import onnxruntime

    onnx.checker.check_model(model, full_check=True)
    feeds = {value.name: np.arange(WIDTH, dtype=np.float32)[None] for value in model.graph.input}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def test_the_denoiser_s_layers_are_found_in_the_order_in_which_they_run(denoiser: onnx.ModelProto) -> None:
    layers = linear_layers(denoiser)
    block = ["attn.query", "attn.key", "attn.value", "attn.proj", "mlp.fc1", "mlp.fc2"]
    expected = [f"blocks.{n}.{name}" for n in range(SIZE.depth) for name in block] + ["final_layer.linear"]
    assert [layer.name for layer in layers] == expected
    products = {layer.name.partition(".")[2]: layer.products for layer in layers}
    assert products["0.attn.query"] == SIZE.width**2
    assert products["0.mlp.fc1"] == products["0.mlp.fc2"] == 4 * SIZE.width**2
    sizes = {tensor.name: np.prod(tensor.dims) for tensor in denoiser.graph.initializer}
    assert [sizes[layer.weight] for layer in layers] == [layer.products for layer in layers]


def test_products_of_two_activations_and_constants_in_front_are_none() -> None:
    model = graph(("MatMul", "a", ["x", "w"]), ("Transpose", "t", ["y"]), ("MatMul", "c", ["t", "a"]))
    assert [layer.name for layer in linear_layers(model)] == ["a"]
    assert linear_layers(graph(("Transpose", "t", ["x"]), ("MatMul", "a", ["w", "t"]))) == []


def test_queries_keys_and_values_become_one_and_nothing_else_changes(denoiser: onnx.ModelProto) -> None:
    feeds = passes()
    before, count = run(denoiser, feeds), len(linear_layers(denoiser))
    weights = sum(np.prod(tensor.dims) for tensor in denoiser.graph.initializer)
    joined = join_projections(denoiser)
    onnx.checker.check_model(joined, full_check=True)
    layers = linear_layers(joined)
    assert len(layers) == count - 2 * SIZE.depth
    assert [layer.name for layer in layers][:2] == ["blocks.0.attn.query+key+value", "blocks.0.attn.proj"]
    assert layers[0].products == 3 * SIZE.width**2
    assert max(Counter(layer.input for layer in layers).values()) == 1
    lengths = 3 * SIZE.depth  # of every split
    assert sum(np.prod(tensor.dims) for tensor in joined.graph.initializer) == weights + lengths
    after = run(joined, feeds)
    assert np.abs(after - before).max() <= 1e-6 * np.abs(before).max()


@pytest.mark.parametrize(
    ("names", "joint"),
    [
        (("/attn/query/MatMul", "/attn/key/MatMul"), "attn.query+key"),
        (("/mlp/fc1/MatMul", "/mlp/fc2/MatMul"), "mlp.fc1+fc2"),
        (("/a/w/MatMul", "/b/w/MatMul"), "a+b.w"),
        (("query", "key"), "query+key"),
    ],
)
def test_a_joint_layer_is_called_by_the_names_of_both(names: tuple[str, str], joint: str) -> None:
    one, other = names
    layers = (("MatMul", one, ["x", "w1"]), ("MatMul", other, ["x", "w2"]))
    model = graph(*layers, ("Add", "s", [one, "b1"]), ("Add", "t", ["b2", other]))
    before = outputs(model)
    assert [layer.name for layer in linear_layers(join_projections(model))] == [joint]
    np.testing.assert_allclose(outputs(model), before, rtol=1e-6)
    joined = linear_layers(model)[0].output.removesuffix(".product")
    assert constants(model).keys() == {f"{joined}.{part}" for part in ("weight", "bias", "lengths")}


def test_nodes_without_names_are_told_apart_by_what_they_make(denoiser: onnx.ModelProto) -> None:
    """ONNX lets names be empty."""
    feeds = passes()
    before = run(denoiser, feeds)
    for node in denoiser.graph.node:
        node.name = ""
    layers = linear_layers(denoiser)
    assert [layer.name for layer in layers][:1] == [layers[0].output.strip("/").replace("/", ".")]
    assert len({layer.name for layer in layers}) == len(layers)
    joined = join_projections(denoiser)
    assert len(linear_layers(joined)) == len(layers) - 2 * SIZE.depth
    assert np.abs(run(joined, feeds) - before).max() <= 1e-6 * np.abs(before).max()


ADDED = (("MatMul", "a", ["x", "w1"]), ("Add", "s", ["a", "b1"]))


@pytest.mark.parametrize(
    ("nodes", "biases"),
    [
        ((("MatMul", "a", ["x", "w1"]), ("MatMul", "c", ["x", "w2"])), 0),
        ((*ADDED, ("MatMul", "c", ["x", "w2"])), 1),
        ((*ADDED, ("MatMul", "c", ["x", "w2"]), ("Add", "t", ["c", "b2"]), ("Relu", "r", ["c"])), 2),
        ((*ADDED, ("MatMul", "c", ["x", "w2"]), ("Add", "t", ["c", "y"])), 2),
        ((*ADDED, ("MatMul", "c", ["x", "w2"]), ("Mul", "t", ["c", "b2"])), 1),
    ],
    ids=["no biases", "one bias", "read twice", "a sum with an activation", "a scale"],
)
def test_a_product_without_a_bias_is_joined_as_well(nodes: tuple[tuple[str, str, list[str]], ...], biases: int) -> None:
    """As an untrained model's are, whose biases of zero nothing adds."""
    model = graph(*nodes)
    before = outputs(model)
    (layer,) = linear_layers(join_projections(model))
    assert layer.name == "a+c"
    assert [node.op_type for node in model.graph.node].count("Add") == biases
    for found, expected in zip(outputs(model), before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_products_of_different_activations_are_left_as_they_are() -> None:
    model = graph(*ADDED, ("MatMul", "c", ["y", "w2"]), ("Add", "t", ["c", "b2"]))
    before = model.SerializeToString()
    assert join_projections(model).SerializeToString() == before
