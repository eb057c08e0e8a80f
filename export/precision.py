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
    VOCODER: _NORMS,
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
