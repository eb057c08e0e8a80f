"""The linear layers of an ONNX graph: products of an activation with a constant weight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


@dataclass(frozen=True)
class LinearLayer:
    """``name`` as people read it, the names of its input, weight ``[K, N]`` and output, and its K·N products a token.

    The output is what tells layers apart: ONNX lets nodes go without a name.
    """

    name: str
    input: str
    weight: str
    output: str
    products: int


def linear_layers(model: onnx.ModelProto) -> list[LinearLayer]:
    """All of a graph's linear layers, in the order in which they run."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        LinearLayer(
            name=node_name(node).strip("/").removesuffix("/MatMul").replace("/", "."),
            input=node.input[0],
            weight=node.input[1],
            output=node.output[0],
            products=int(np.prod(shapes[node.input[1]])),
        )
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[0] not in shapes and len(shapes.get(node.input[1], ())) == 2
    ]


def node_name(node: NodeProto) -> str:
    """What a node is called: as what it makes, where it has no name of its own."""
    return node.name or node.output[0]


def join_projections(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make one linear layer of those that read the same activation, as queries, keys and values do; then split.

    In FP32 they are faster apart. In INT8 the activation is quantised once, and ONNX Runtime on x86, which makes
    unsigned of signed activations, does so for those with a single reader only. Changes and returns ``model``.
    """
    readers = _readers(model.graph.node)
    layers = defaultdict(list)
    for layer in linear_layers(model):
        layers[layer.input].append(layer.output)
    nodes = {node.output[0]: node for node in model.graph.node}
    joined: dict[str, list[NodeProto]] = {}
    gone: set[str] = set()
    for outputs in layers.values():
        products = [nodes[output] for output in outputs]
        if len(products) > 1:
            sums = [_bias_sum(model, readers[output]) for output in outputs]
            joined[outputs[0]] = _joined(model, products, sums)
            gone |= {node.output[0] for node in (*products, *sums) if node is not None}
    kept: list[NodeProto] = []
    for node in model.graph.node:
        kept += joined.get(node.output[0], [])
        if node.output[0] not in gone:
            kept.append(node)
    replace_nodes(model, kept)
    drop_unread(model)
    return model


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The initialisers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[NodeProto]) -> None:
    """Give the graph these nodes, which may be its own."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]  # not views into what is emptied
    del model.graph.node[:]
    model.graph.node.extend(copies)


def drop_unread(model: onnx.ModelProto) -> None:
    """Remove the initialisers that no node reads."""
    read = {name for node in model.graph.node for name in node.input}
    tensors = model.graph.initializer
    for i in reversed(range(len(tensors))):  # in place: copies of all weights would double them
        if tensors[i].name not in read:
            del tensors[i]


def _readers(nodes: Iterable[NodeProto]) -> dict[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    return readers


def _bias_sum(model: onnx.ModelProto, readers: Sequence[NodeProto]) -> NodeProto | None:
    """The one reader, if it adds a constant vector."""
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    return readers[0] if _bias(model, readers[0]) is not None else None


def _bias(model: onnx.ModelProto, node: NodeProto) -> np.ndarray | None:
    vectors = [constants(model)[name] for name in node.input if name in constants(model)]
    return numpy_helper.to_array(vectors[0]) if len(vectors) == 1 and len(vectors[0].dims) == 1 else None


def _joined(model: onnx.ModelProto, products: Sequence[NodeProto], sums: Sequence[NodeProto | None]) -> list[NodeProto]:
    """One product, one sum and a split in place of several products and their sums; None is a product without bias."""
    weights = [numpy_helper.to_array(constants(model)[node.input[1]]) for node in products]  # [K, N] each
    name = _joint_name([node_name(node) for node in products])
    lengths = np.array([weight.shape[1] for weight in weights], np.int64)
    parameters = {"weight": np.concatenate(weights, axis=1), "lengths": lengths}
    last = f"{name}.product"
    nodes = [helper.make_node("MatMul", [products[0].input[0], f"{name}.weight"], [last], name)]
    if any(total is not None for total in sums):
        biases = [_bias(model, node) if node is not None else None for node in sums]
        zeros = [np.zeros(length, weights[0].dtype) for length in lengths]
        parameters["bias"] = np.concatenate(
            [zero if bias is None else bias for zero, bias in zip(zeros, biases, strict=True)]
        )
        nodes.append(helper.make_node("Add", [last, f"{name}.bias"], [f"{name}.sum"], f"{name}.add"))
        last = f"{name}.sum"
    model.graph.initializer.extend(numpy_helper.from_array(v, f"{name}.{k}") for k, v in parameters.items())
    outputs = [(product if total is None else total).output[0] for product, total in zip(products, sums, strict=True)]
    return [*nodes, helper.make_node("Split", [last, f"{name}.lengths"], outputs, f"{name}.split", axis=-1)]


def _joint_name(names: Sequence[str]) -> str:
    """``/a/query/MatMul`` and ``/a/key/MatMul`` -> ``/a/query+key/MatMul``."""
    columns = zip_longest(*(name.split("/") for name in names), fillvalue="")
    return "/".join("+".join(dict.fromkeys(column)).strip("+") for column in columns)
