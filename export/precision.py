"""FP16 graphs, with the islands of FP32 that their figures need."""

from __future__ import annotations

import onnx

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER

_NORMS = ("LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceL2", "Sqrt", "Pow", "Div")

_FP32_ISLANDS: dict[str, tuple[str, ...]] = {
    VIDEO_ENCODER: _NORMS,
    CONDITIONING: (*_NORMS, "Sin", "Cos"),
    DENOISER: _NORMS,
    LATENT_DECODER: _NORMS,
    # ONNX Runtime's CPU has no leaky ReLU in FP16 and takes it apart into three passes: twice the time and memory.
    VOCODER: (*_NORMS, "LeakyRelu"),
}
"""Operators that stay in FP32, per graph: sums over many values, and what comes right before their results."""


def to_half(model: onnx.ModelProto, graph: str) -> onnx.ModelProto:
    """Weights and arithmetic in FP16; inputs and outputs stay FP32, so that the runtime is the same for both."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    islands = [*DEFAULT_OP_BLOCK_LIST, *_FP32_ISLANDS[graph]]
    # The angles of the timestep embedding reach 999, where FP16 has no fractions left.
    angles = _upstream(model, {"Sin", "Cos"})
    converted = OnnxModel(
        convert_float_to_float16(model, keep_io_types=True, op_block_list=islands, node_block_list=angles)
    )
    converted.topological_sort()  # the converter appends its casts at the end
    half: onnx.ModelProto = converted.model
    _join_islands(half)
    return half


def _upstream(model: onnx.ModelProto, operators: set[str]) -> list[str]:
    """The names of all nodes whose results flow into these operators."""
    names = []
    wanted = {name for node in model.graph.node if node.op_type in operators for name in node.input}
    for node in reversed(model.graph.node):  # topologically sorted: consumers come after producers
        if wanted.intersection(node.output):
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
    _drop_unused(model.graph)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == kind


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes whose results nobody reads."""
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
