"""A bundle's graph as TensorRT is to have it: what a bundle does for ONNX Runtime's sake, and for small files, undone.

In a plan's graph the projections that read one activation are one product, what depends on constants alone is computed,
group normalisation is a ``LayerNormalization`` (TensorRT 8.6 needs cuDNN for the other one), and in FP16 nothing is
computed in FP32 but normalisations, reductions and the angles of sines: no cast comes between a convolution and its
activation.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mdsgen.errors import ExportError
from mdsgen.export.int8 import with_full_weights
from mdsgen.export.linear_layers import constants, drop_unread, join_projections, replace_nodes
from mdsgen.export.precision import restore_full, to_half, without_half
from mdsgen.precision import DataType, Precision

_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceL2")
_NORMALISATIONS = ("LayerNormalization", "InstanceNormalization")
_OF_A_REDUCTION = ("Clip", "Max", "Sqrt", "Pow", "Expand")  # what comes between a reduction and a division by it


def plan_graph(
    model: onnx.ModelProto, precision: Precision, *, fold: bool = True, int8_weights: bool = True
) -> onnx.ModelProto:
    """The graph of a bundle in this precision, for TensorRT; it computes the same. May change ``model``.

    ``fold`` computes what depends on constants alone, position biases above all. Where TensorRT does not take
    ``int8_weights``, the graph quantises them itself.
    """
    half = precision.computes is DataType.FP16
    model = join_projections(without_half(model) if half else restore_full(model))
    if fold:
        fold_constants(model)
    if not int8_weights:
        with_full_weights(model)
    if half:
        model = to_half(model, (*_NORMALISATIONS, *_REDUCTIONS), _divisions(model))
    normalise_layers(model)
    return model


def fold_constants(model: onnx.ModelProto) -> None:
    """Compute the nodes that depend on constants alone; weights that are stored in INT8 stay so. Changes ``model``."""
    from onnx.reference import ReferenceEvaluator

    known, folded, kept = set(constants(model)), [], []
    for node in model.graph.node:  # topologically sorted
        if node.op_type != "DequantizeLinear" and known.issuperset(filter(None, node.input)):
            known.update(node.output)
            folded.append(node)
        else:
            kept.append(node)
    read = {name for node in kept for name in node.input}
    wanted = [name for node in folded for name in node.output if name in read]
    if not wanted:
        return
    needed = {name for node in folded for name in node.input}
    stored = [tensor for name, tensor in constants(model).items() if name in needed]
    outputs = [onnx.ValueInfoProto(name=name) for name in wanted]
    graph = helper.make_graph(folded, "constants", [], outputs, stored)
    values = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import)).run(None, {})
    model.graph.initializer.extend(map(numpy_helper.from_array, map(np.ascontiguousarray, values), wanted))
    replace_nodes(model, kept)
    drop_unread(model)


def normalise_layers(model: onnx.ModelProto) -> None:
    """Make ``LayerNormalization`` of every ``InstanceNormalization`` of ``[N, G, L]``. Changes ``model``.

    The scale of L ones is computed in the graph: stored, it would be as large as the picture.
    """
    instances = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    if not instances:
        return
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    replaced: dict[str, list[NodeProto]] = {}
    made: set[int] = set()
    for node in instances:
        shape = shapes.get(node.input[0], [])
        if len(shape) != 3 or shape[-1] < 1:
            raise ExportError(f"{node.name} normalises {shape}: expected a group normalisation of [N, groups, values]")
        replaced[node.output[0]] = [] if shape[-1] in made else _ones(model, shape[-1])
        replaced[node.output[0]] += _layer_normalisation(model, node, shape[-1])
        made.add(shape[-1])
    replace_nodes(model, [each for node in model.graph.node for each in replaced.get(node.output[0], [node])])
    drop_unread(model)


def _ones(model: onnx.ModelProto, length: int) -> list[NodeProto]:
    """What makes so many ones."""
    name = f"ones.{length}"
    model.graph.initializer.append(numpy_helper.from_array(np.array([length], np.int64), f"{name}.length"))
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    return [helper.make_node("ConstantOfShape", [f"{name}.length"], [name], name, value=one)]


def _layer_normalisation(model: onnx.ModelProto, node: NodeProto, length: int) -> list[NodeProto]:
    """An instance normalisation over rows of this length as a layer's; scale and shift follow, where there are any."""
    (epsilon,) = [each.f for each in node.attribute if each.name == "epsilon"] or [1e-5]
    scale, shift = (numpy_helper.to_array(constants(model)[name]) for name in node.input[1:])  # [G] each
    (output,) = node.output
    plain = bool(np.all(scale == 1) and np.all(shift == 0))
    normalised = output if plain else f"{output}.normalised"
    inputs = [node.input[0], f"ones.{length}"]
    nodes = [helper.make_node("LayerNormalization", inputs, [normalised], node.name, axis=-1, epsilon=epsilon)]
    if not plain:
        parts = {"scale": scale, "shift": shift}
        names = [f"{output}.{part}" for part in parts]
        columns = [values[:, np.newaxis] for values in parts.values()]  # [G, 1]
        model.graph.initializer.extend(map(numpy_helper.from_array, columns, names))
        nodes.append(helper.make_node("Mul", [normalised, names[0]], [f"{output}.scaled"], f"{node.name}.scale"))
        nodes.append(helper.make_node("Add", [f"{output}.scaled", names[1]], [output], f"{node.name}.shift"))
    return nodes


def _divisions(model: onnx.ModelProto) -> list[str]:
    """The names of the nodes that divide by what a reduction gave, and of those in between."""
    reduced, names = set(), []
    for node in model.graph.node:  # topologically sorted
        if node.op_type in _REDUCTIONS:
            reduced.update(node.output)
        elif node.op_type in _OF_A_REDUCTION and node.input[0] in reduced:
            reduced.update(node.output)
            names.append(node.name)
        elif node.op_type == "Div" and node.input[1] in reduced:
            names.append(node.name)
    return names
