"""Classifier-free guidance that grows as the noise goes (power-cosine schedule, MDT; Gao et al., 2023)."""

from __future__ import annotations

import numpy as np

TIMESTEPS = 1000
"""Timesteps of the training schedule, over which the guidance runs from 1 to its full strength."""

ALWAYS = 0.0, float(TIMESTEPS)
"""The interval of all timesteps."""


def guidance_scale(
    timestep: np.ndarray, guidance: float, power: float, interval: tuple[float, float] = ALWAYS
) -> np.ndarray:
    """``1 + (guidance − 1)·(1 − cos(π·(1 − timestep/1000)^power))/2``: 1 at timestep 1000, ``guidance`` at 0.

    A power near 0 (the release: 0.01) keeps it close to ``guidance`` all the way; 4 starts late. Outside ``interval``
    it is 1: the condition alone (Kynkäänniemi et al., 2024, who find most of guidance's worth in its middle).
    """
    timestep = np.clip(np.asarray(timestep, dtype=np.float64), 0.0, TIMESTEPS)
    progress = 1.0 - timestep / TIMESTEPS
    scale: np.ndarray = 1.0 + (guidance - 1.0) * (1.0 - np.cos(np.pi * progress**power)) / 2.0
    low, high = interval
    return np.where((low <= timestep) & (timestep <= high), scale, 1.0)
