"""How the sounds of windows become one without a seam."""

from __future__ import annotations

import math

import numpy as np


class Assembler:
    """Joins pieces in order: gives out what is final, and keeps the last ``fade`` samples, which the next one fades
    into from its own sound of the same time."""

    def __init__(self, fade: int) -> None:
        self._fade = fade
        self._done = 0  # samples given out
        self._tail = np.zeros(0, np.float32)  # what follows them so far

    def add(self, first: int, sound: np.ndarray, until: int, last: bool = False) -> np.ndarray:
        """Take a sound that begins with sample ``first``, for what comes before ``until``; give out what is final.

        Samples count from the beginning of the film. With the ``last`` sound everything is final.
        """
        piece = sound[self._done - first : until - first].copy()
        shared = min(len(self._tail), len(piece))
        piece[:shared] = crossfade(self._tail[:shared], piece[:shared])
        ready = len(piece) if last else max(0, len(piece) - self._fade)
        out, self._tail = piece[:ready], piece[ready:]
        self._done += ready
        return out


def crossfade(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fade from one sound ``[n]`` into another at constant power, whether they agree or not.

    Linear gains keep the power of equal sounds, equal-power gains that of unrelated ones; dividing by the power that
    linear gains leave at the measured correlation does both, and everything between.
    """
    gain = (np.arange(len(first), dtype=np.float32) + 0.5) / max(1, len(first))
    energy = float(np.dot(first, first)) * float(np.dot(second, second))
    correlation = max(0.0, float(np.dot(first, second)) / math.sqrt(energy)) if energy > 0.0 else 0.0
    power = (1 - gain) ** 2 + gain**2 + 2 * correlation * gain * (1 - gain)
    mixed: np.ndarray = ((1 - gain) * first + gain * second) / np.sqrt(power)
    return mixed.astype(np.float32)
