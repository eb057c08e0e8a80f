"""How close an exported graph comes to its PyTorch original: figures in decibels, their thresholds, and a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER, Quality

CLIP = "clip"
"""The name under which the whole way from frames to waveform is reported."""

THRESHOLDS: dict[str, dict[str, float]] = {
    "fp32": {
        VIDEO_ENCODER: 80.0,
        CONDITIONING: 80.0,
        DENOISER: 80.0,
        LATENT_DECODER: 80.0,
        VOCODER: 80.0,
        CLIP: 60.0,
    },
    "fp16": {
        VIDEO_ENCODER: 45.0,
        CONDITIONING: 45.0,
        DENOISER: 45.0,
        LATENT_DECODER: 45.0,
        VOCODER: 35.0,
        CLIP: 15.0,
    },
}
"""The least decibels per precision and graph. The clip's is lower: the diffusion loop feeds its own errors back."""


def decibels(reference: np.ndarray, measured: np.ndarray) -> float:
    """Signal-to-noise ratio of ``measured``; infinite where equal, minus infinite where it is not finite."""
    reference64, measured64 = np.asarray(reference, np.float64), np.asarray(measured, np.float64)
    if reference64.shape != measured64.shape:
        raise ValueError(f"shapes differ: reference {reference64.shape}, measured {measured64.shape}")
    if not np.isfinite(measured64).all():
        return -np.inf
    noise = float(np.sum((measured64 - reference64) ** 2))
    if noise == 0.0:
        return np.inf
    signal = float(np.sum(reference64**2))
    return float(10.0 * np.log10(signal / noise)) if signal > 0.0 else -np.inf


def table(figures: Sequence[Quality]) -> str:
    """The figures as lines of text, each with its threshold and verdict."""
    rows = [("graph", "compared on", "dB", "at least", "")]
    for figure in figures:
        verdict = "ok" if figure.passed else "FAILED"
        rows.append((figure.graph, figure.what, f"{figure.decibels:.1f}", f"{figure.threshold:.0f}", verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
