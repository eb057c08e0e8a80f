"""How a video of any length is cut into the model's windows, and how their sounds become one.

Consecutive windows overlap by a little more than a second. The last one is moved back until it ends with the video, so
that it sees real frames all the way; only a video shorter than one window is padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mdsgen.geometry import Geometry

OVERLAP_FRAMES = 4
"""Video frames that two windows share at least: one second."""


@dataclass(frozen=True)
class Window:
    """One run of the model. Its sound begins with ``first_frame``; of it, ``samples`` are in the video."""

    index: int
    first_frame: int
    start: int
    samples: int


@dataclass(frozen=True)
class WindowPlan:
    """All windows of a video that lasts ``samples`` samples. Iterates over :class:`Window`."""

    geometry: Geometry
    samples: int

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"a video of {self.samples} samples has no window")

    @property
    def frames(self) -> int:
        """Video frames that the whole video has, at the model's frame rate."""
        return math.ceil(self.samples / self.geometry.samples_per_frame)

    @property
    def overlap(self) -> int:
        """Samples of a cross-fade."""
        return self.geometry.samples - self._hop_frames * self.geometry.samples_per_frame

    @property
    def _hop_frames(self) -> int:
        return max(1, self.geometry.video_frames - OVERLAP_FRAMES)

    def __len__(self) -> int:
        hop = self._hop_frames * self.geometry.samples_per_frame
        return 1 + max(0, math.ceil((self.samples - self.geometry.samples) / hop))

    def __iter__(self) -> Iterator[Window]:
        last_start = max(0, self.frames - self.geometry.video_frames)
        for index in range(len(self)):
            first_frame = min(index * self._hop_frames, last_start)
            start = first_frame * self.geometry.samples_per_frame
            yield Window(index, first_frame, start, min(self.geometry.samples, self.samples - start))


class Assembler:
    """Joins the windows' sounds in order: gives out what is final, keeps what the next window fades into."""

    def __init__(self, plan: WindowPlan) -> None:
        self._plan = plan
        self._done = 0  # samples given out
        self._tail = np.zeros(0, np.float32)  # what follows them so far

    def add(self, window: Window, sound: np.ndarray) -> np.ndarray:
        """Take a window's sound ``[geometry.samples]``, give out the samples that no later window changes."""
        sound = sound[: window.samples]
        if window.index:
            end = self._done + len(self._tail)
            fresh = sound[self._done - window.start :]  # what came before is out already
            joined = crossfade(self._tail, fresh[: len(self._tail)])
            sound = np.concatenate([joined, fresh[end - self._done :]])
        keep = 0 if window.index == len(self._plan) - 1 else self._plan.overlap
        out, self._tail = sound[: len(sound) - keep], sound[len(sound) - keep :]
        self._done += len(out)
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
