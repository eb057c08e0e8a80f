"""FP16 graphs, with the islands of FP32 that their figures need."""

from __future__ import annotations

import onnx

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER

_NORMS = ("LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceL2", "Sqrt", "Pow", "Div")

_FP32_ISLANDS: dict[str, tuple[str, ...]] = {
    VIDEO_ENCODER: _NORMS,
    CONDITIONING: (*_NORMS, "Sin", "Cos"),  # timesteps up to 999 have no fractions in FP16
    DENOISER: _NORMS,
    LATENT_DECODER: _NORMS,
    VOCODER: _NORMS,
}
"""Operators that stay in FP32, per graph: sums over many values, and what comes right before their results."""


def to_half(model: onnx.ModelProto, graph: str) -> onnx.ModelProto:
    """Weights and arithmetic in FP16; inputs and outputs stay FP32, so that the runtime is the same for both."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_FP32_ISLANDS[graph]],
    )
    return converted
