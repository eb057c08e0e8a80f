"""Classifier-free guidance that grows as the noise goes (power-cosine schedule, MDT; Gao et al., 2023)."""

from __future__ import annotations

import numpy as np

from mdsgen.sampling import ALWAYS, PURE_NOISE


def guidance_scale(
    level: np.ndarray, guidance: float, power: float, interval: tuple[float, float] = ALWAYS
) -> np.ndarray:
    """``1 + (guidance − 1)·(1 − cos(π·(1 − level/1000)^power))/2``: 1 at pure noise, level 1000, and ``guidance`` at 0.

    A power near 0 (the release: 0.01) keeps it close to ``guidance`` all the way; 4 starts late. Outside ``interval``
    it is 1: the condition alone (Kynkäänniemi et al., 2024, who find most of guidance's worth in its middle).
    """
    level = np.clip(np.asarray(level, dtype=np.float64), 0.0, PURE_NOISE)
    progress = 1.0 - level / PURE_NOISE
    scale: np.ndarray = 1.0 + (guidance - 1.0) * (1.0 - np.cos(np.pi * progress**power)) / 2.0
    low, high = interval
    return np.where((low <= level) & (level <= high), scale, 1.0)
