"""One sound through all windows of a film or of a live source: each goes on from what has been given out."""

from __future__ import annotations

import math

import numpy as np

from mdsgen.geometry import SAMPLE_RATE, Geometry
from mdsgen.runtime.assembling import Assembler
from mdsgen.runtime.known import Known, moved
from mdsgen.runtime.sampler import OnStep, seeded_noise
from mdsgen.runtime.window_generator import Generator, Timings
from mdsgen.runtime.windows import Window, WindowPlan

FADE = 0.064
"""Seconds within the known columns over which one window's sound becomes the next one's."""


class Soundtrack:
    """Makes one block of sound after the other, in the order of the windows.

    A window's noise depends on seed and index alone, and it goes on from the latent of what was given out.
    """

    def __init__(self, geometry: Geometry, generator: Generator, seed: int, plan: WindowPlan | None = None) -> None:
        self.plan = plan or WindowPlan.of_film(geometry)
        self.fade = fade_samples(geometry)
        self._geometry, self._generator, self._seed = geometry, generator, seed
        self._assembler = Assembler(self.fade)
        self._latent: np.ndarray | None = None  # of the last window that was computed
        self._start = self._known = 0  # the column that it begins with, and up to which it has been given out

    def add(
        self,
        window: Window,
        frames: np.ndarray,
        timings: Timings,
        on_step: OnStep = lambda done: None,
        end: int | None = None,
        generator: Generator | None = None,
    ) -> np.ndarray:
        """The samples ``[samples]`` that are final with this window, the last one of a film that has ``end``.

        ``generator`` takes the place of the usual one for once.
        """
        chosen = generator or self._generator
        noise = seeded_noise(self._geometry, self._seed, window.index)  # [1, C, H, W]
        sound, self._latent = chosen.go_on(frames, noise, self._known_to(window), timings, on_step)
        self._start, self._known = window.start, window.until
        return self._join(window, sound, end)

    def add_silence(self, window: Window, end: int | None = None) -> np.ndarray:
        """Silence in the place of a window that is not computed. The next one goes on from what is known before it."""
        return self._join(window, np.zeros(self._geometry.samples, np.float32), end)

    def _known_to(self, window: Window) -> Known | None:
        columns = self._known - window.start
        if self._latent is None or columns <= 0:
            return None
        return moved(self._latent, self._geometry, window.start - self._start, columns)

    def _join(self, window: Window, sound: np.ndarray, end: int | None) -> np.ndarray:
        column = self._geometry.column_samples
        until = window.until * column
        last = end is not None and until >= end
        return self._assembler.add(window.start * column, sound, end if last and end is not None else until, last)


def fade_samples(geometry: Geometry) -> int:
    """How long windows fade into each other, in samples: never as long as the shortest block."""
    return min(math.ceil(FADE * SAMPLE_RATE), geometry.column_samples // 2)
