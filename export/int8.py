"""INT8 in an ONNX graph: explicit Q/DQ, symmetric, so that ONNX Runtime, OpenVINO and TensorRT all compute with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mdsgen.export.linear_layers import LinearLayer, constants, node_name, replace_nodes
from mdsgen.export.onnx_graph import quiet

_LARGEST = 127
_STORED_INT8_FROM = 4096  # values; what is smaller is kept as it is, and saves nothing


def to_int8(model: onnx.ModelProto, layers: Iterable[LinearLayer], maxima: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy that multiplies these linear layers in INT8: weights per output channel, activations per tensor.

    An activation's range is as wide as ``maxima``, its largest magnitudes per channel, says. Of layers
    that read the same one, all or none are to be chosen.
    """
    from onnxruntime.transformers.onnx_model import OnnxModel

    chosen = list(layers)
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    if not chosen:
        return copied
    ordered = OnnxModel(_quantised(copied, chosen, maxima))
    ordered.topological_sort()  # as ONNX wants it: the quantiser appends its nodes at the end
    result: onnx.ModelProto = ordered.model
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    return result


def _quantised(
    model: onnx.ModelProto, chosen: Sequence[LinearLayer], maxima: Mapping[str, np.ndarray]
) -> onnx.ModelProto:
    """What ONNX Runtime's quantiser makes of these layers. Changes ``model``."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    for node in model.graph.node:
        node.name = node_name(node)  # the quantiser knows nodes by nothing else
    names = {node.output[0]: node.name for node in model.graph.node}
    reach = {layer.input: np.float32(maxima[layer.input].max()) for layer in chosen}
    with quiet(""):  # of its advice to pre-process the model, which is done
        quantiser = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, {name: (-far, far) for name, far in reach.items()}),
            nodes_to_quantize=[names[layer.output] for layer in chosen],
            nodes_to_exclude=[],
            op_types_to_quantize=["MatMul"],
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
        )
        quantiser.quantize_model()
    quantised: onnx.ModelProto = quantiser.model.model
    return quantised


def store_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights in INT8, arithmetic in FP32: a quarter of the file, for machines that are short of memory.

    Every large weight of a product or a convolution is followed by a DequantizeLinear, one scale per output channel.
    ONNX Runtime (seen with 1.32) makes MatMulNBits of it and a MatMul, which keeps the weight in INT8 in memory, too,
    and rounds activations to 8 bits by blocks. Changes and returns ``model``.
    """
    tensors = constants(model)
    axes = {name: axis for node in model.graph.node for name, axis in _weight_axis(node)}
    stored = []
    for name, axis in axes.items():
        values = numpy_helper.to_array(tensors[name]) if name in tensors else np.empty(0)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < _STORED_INT8_FROM:
            continue
        scales = _scales(values, axis)  # [channels]
        along = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        rounded = np.clip(np.rint(values / along), -_LARGEST, _LARGEST).astype(np.int8)
        tensors[name].CopyFrom(numpy_helper.from_array(rounded, f"{name}.int8"))
        zeros = np.zeros(scales.shape, np.int8)
        parts = {"scales": scales, "zeros": zeros}
        model.graph.initializer.extend(numpy_helper.from_array(v, f"{name}.{k}") for k, v in parts.items())
        inputs = [f"{name}.int8", f"{name}.scales", f"{name}.zeros"]
        stored.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}.full", axis=axis))
    replace_nodes(model, [*stored, *model.graph.node])
    return model


def with_full_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """INT8 weights as FP32 ones that the graph itself quantises, as TensorRT before 10 wants them.

    Their values are on INT8's steps already, so that nothing is lost. Changes and returns ``model``.
    """
    tensors = constants(model)
    nodes = []
    for node in model.graph.node:
        # Once for each weight, however many read it: the second one would scale what is scaled already.
        tensor = tensors.pop(node.input[0], None) if node.op_type == "DequantizeLinear" else None
        if tensor is not None:
            scales = numpy_helper.to_array(tensors[node.input[1]])  # [channels]
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            values = numpy_helper.to_array(tensor)
            along = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
            stored = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values * along, f"{stored}.full"))
            inputs = [f"{stored}.full", *node.input[1:]]
            nodes.append(helper.make_node("QuantizeLinear", inputs, [stored], f"{stored}.quantised", axis=axis))
        nodes.append(node)
    replace_nodes(model, nodes)
    return model


def _weight_axis(node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    """The name of a node's weight and the axis of its output channels; nothing where it has no weight."""
    if node.op_type == "MatMul":
        yield node.input[1], 1
    elif node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        yield node.input[1], 0 if transposed else 1
    elif node.op_type == "Conv":
        yield node.input[1], 0
    elif node.op_type == "ConvTranspose":
        yield node.input[1], 1


def _scales(values: np.ndarray, axis: int) -> np.ndarray:
    largest = np.abs(values).max(axis=tuple(i for i in range(values.ndim) if i != axis))  # [channels]
    scales = (largest / _LARGEST).astype(np.float32)
    return np.where(scales >= np.finfo(np.float32).tiny, scales, np.float32(1))  # what is smaller becomes 0
