"""Whether a noise repeats itself at a vocoder's hop, which is heard as a buzz and seen in no mel spectrogram."""

from __future__ import annotations

import numpy as np

from mdsgen.evaluation.labels import kinds_of
from mdsgen.geometry import DEMO
from mdsgen.scenes import Truth

NOISES = frozenset({"rain", "fire", "waves", "fan", "car"})
"""The kinds that sound all the time and have hardly a pitch: an engine repeats itself by right."""


def hop_autocorrelation(sound: np.ndarray, hop: int = DEMO.mel.hop) -> float:
    """How alike ``sound [samples]`` is to itself ``hop`` samples later, -1..1: near 0 for noise, 1 for what repeats.

    0 where nothing sounds, or what sounds is no longer than a hop.
    """
    early, late = (np.asarray(part, np.float64) for part in (sound[:-hop], sound[hop:]))
    energy = float(np.sqrt((early @ early) * (late @ late)))
    return float(early @ late) / energy if energy > 0.0 else 0.0


def all_noise(truth: Truth) -> bool:
    """Whether everything in a scene is noise: only there is the autocorrelation a fault."""
    return kinds_of(truth) <= NOISES
