"""The precisions of a graph: FP32, weights alone in FP16 or INT8, or FP16 with islands of FP32 where figures need them.

The INT8 that also computes is made by :mod:`mdsgen.export.quantiser`; here it only comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import onnx

from mdsgen.bundle import DENOISER
from mdsgen.errors import ExportError
from mdsgen.export.int8 import store_int8
from mdsgen.export.linear_layers import replace_nodes
from mdsgen.precision import PRECISIONS

_ANGLES = ("Sin", "Cos")
_NORMS = ("LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceL2", "Sqrt", "Pow", "Div")
# ONNX Runtime's CPU has no leaky ReLU in FP16 and takes it apart into three passes: twice the time and memory.
_NOT_IN_HALF = ("LeakyRelu", "Min", "Max", "Range", "CumSum", "TopK")
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}

_STORED_HALF_FROM = 256  # values; smaller tensors are shapes and scales, and save nothing


def in_precision(model: onnx.ModelProto, graph: str, precision: str) -> onnx.ModelProto:
    """A model in FP32, or for ``int8`` a denoiser that is quantised, as a bundle of this precision stores it.

    May change ``model``. Raises :class:`ExportError` for a denoiser that would be called INT8 without being quantised.
    """
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if graph == DENOISER and PRECISIONS[precision].needs_calibration and not quantised:
        raise ExportError("the denoiser has no INT8 in it: make it with mdsgen.export.quantiser.Quantiser before")
    return MADE[precision](model)


def to_half(model: onnx.ModelProto, islands: Sequence[str], nodes: Sequence[str] = ()) -> onnx.ModelProto:
    """Weights and arithmetic in FP16, inputs and outputs in FP32, so that the runtime is the same for both.

    ``islands`` are the operators that stay in FP32, beside the ``nodes`` of these names.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    # A timestep embedding's angles reach 999, where FP16 has no fractions left; a vocoder's phases are angles, too.
    kept = [*nodes, *_upstream(model, _ANGLES)]
    converted = OnnxModel(
        convert_float_to_float16(model, keep_io_types=True, op_block_list=[*islands, *_ANGLES], node_block_list=kept)
    )
    converted.topological_sort()  # the converter appends its casts at the end
    half: onnx.ModelProto = converted.model
    _join_islands(half)
    return half


def without_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The reverse of :func:`to_half`: all in FP32, weights rounded as they are. Changes and returns ``model``."""
    kinds, graph = _element_types(model), model.graph
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    outputs = {value.name for value in graph.output}
    same: dict[str, str] = {}  # casts come to nothing; of an output's the name stays
    kept = []
    for node in graph.node:
        if node.op_type == "Cast" and {node.attribute[0].i, kinds.get(node.input[0])} <= _FLOATS:
            before, after = _followed(same, node.input[0]), node.output[0]
            same |= {before: after} if after in outputs else {after: before}
        else:
            kept.append(node)
    for node in kept:
        for names in (node.input, node.output):
            names[:] = [_followed(same, name) for name in names]
    replace_nodes(model, kept)
    del graph.value_info[:]  # they would say FP16
    return model


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = {
        value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)
    }
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _followed(same: Mapping[str, str], name: str) -> str:
    while name in same:
        name = same[name]
    return name


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights in FP16, arithmetic in FP32: half the file for machines that do not compute in FP16, such as most CPUs.

    Every large FP32 initialiser is followed by a cast, which engines do once, when they open the graph. Scales of what
    is quantised stay as they are. Changes and returns ``model``.
    """
    graph, casts = model.graph, []
    scales = {node.input[1] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _STORED_HALF_FROM or tensor.name in scales:
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    replace_nodes(model, [*casts, *graph.node])
    return model


def restore_full(model: onnx.ModelProto) -> onnx.ModelProto:
    """The reverse of :func:`store_half`: weights in FP32 again, rounded as they are. Changes and returns ``model``."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    others = []
    for node in graph.node:
        tensor = stored.get(node.input[0]) if _casts_to(node, onnx.TensorProto.FLOAT) else None
        if tensor is None:
            others.append(node)
        else:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, node.output[0]))
    replace_nodes(model, others)
    return model


def _upstream(model: onnx.ModelProto, operators: Sequence[str]) -> list[str]:
    """The names of all nodes whose results flow into these operators, back to the last normalisation."""
    names = []
    wanted = {name for node in model.graph.node if node.op_type in operators for name in node.input}
    for node in reversed(model.graph.node):  # topologically sorted: consumers come after producers
        if wanted.intersection(node.output) and node.op_type != "LayerNormalization":
            wanted.update(node.input)
            names.append(node.name)
    return names


def _join_islands(model: onnx.ModelProto) -> None:
    """Between neighbours in FP32 the converter rounds to FP16 and back; hand the unrounded value over instead."""
    producers = {name: node for node in model.graph.node for name in node.output}
    unrounded = {}
    for node in model.graph.node:
        before = producers.get(node.input[0]) if _casts_to(node, onnx.TensorProto.FLOAT) else None
        if before is not None and _casts_to(before, onnx.TensorProto.FLOAT16):
            unrounded[node.output[0]] = before.input[0]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = unrounded.get(name, name)
    _drop_unused(model)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == kind


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes whose results nobody reads."""
    used = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    replace_nodes(model, reversed(kept))


def _stored_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    return store_half(store_int8(model))


MADE: Mapping[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "fp16-weights": store_half,
    "fp16": partial(to_half, islands=(*_NORMS, *_NOT_IN_HALF)),
    "int8-weights": _stored_int8,
    "int8": store_half,  # what computes in INT8 is quantised already
}
"""What brings a graph into each of :data:`~mdsgen.precision.PRECISIONS`, as :func:`in_precision` does."""
