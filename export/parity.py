"""The thresholds that an exported graph's parity figures must reach, and the figures as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.parity import UNUSABLE, Parity

SPECTROGRAM, CLIP = "clip spectrogram", "clip"
"""The names under which the whole way is reported, from frames to log-mel spectrogram and to waveform."""

_FP32 = {
    VIDEO_ENCODER: 80.0,
    CONDITIONING: 80.0,
    DENOISER: 80.0,
    LATENT_DECODER: 80.0,
    VOCODER: 80.0,
    SPECTROGRAM: 60.0,
    CLIP: 60.0,
}
_FP16 = {
    VIDEO_ENCODER: 45.0,
    CONDITIONING: 45.0,
    DENOISER: 45.0,
    LATENT_DECODER: 45.0,
    VOCODER: 35.0,
    SPECTROGRAM: 30.0,
    CLIP: 30.0,
}
_INT8 = {**_FP16, DENOISER: 25.0, SPECTROGRAM: 20.0, CLIP: 6.0}
_INT8_WEIGHTS = {**dict.fromkeys(_FP16, 25.0), SPECTROGRAM: 20.0, CLIP: 6.0}

THRESHOLDS = {
    "fp32": _FP32,
    "fp16-weights": _FP16,
    "fp16": _FP16,
    "int8-weights": _INT8_WEIGHTS,
    "int8": _INT8,
}
"""The least decibels per precision and graph. The clip's is lower: the diffusion loop feeds its own errors back. After
INT8 a waveform may have other phases: its spectrogram is compared in earnest, and the waveform's 6 dB, an error of half
the amplitude, only tell that it is the same sound."""


def table(figures: Sequence[Parity]) -> str:
    """The figures as lines of text, each with its threshold and verdict."""
    rows = [("graph", "compared on", "dB", "at least", "")]
    for figure in figures:
        verdict = "ok" if figure.passed else "FAILED"
        rows.append((figure.graph, figure.what, in_words(figure.snr_db), f"{figure.threshold:g}", verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def in_words(figure: float) -> str:
    """A figure as a person reads it."""
    if figure == math.inf:
        return "exact"
    return "unusable" if figure == UNUSABLE else f"{figure:.1f}"
