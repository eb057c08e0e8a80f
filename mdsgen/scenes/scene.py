"""A scene: a stage, the things on it, and everything that can be asked of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mdsgen.errors import SceneError
from mdsgen.geometry import PAPER, SAMPLE_RATE
from mdsgen.scenes.actor import Actor
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.stage import Stage
from mdsgen.scenes.truth import Truth

DURATION = PAPER.duration
"""Seconds of a scene, unless another length is asked for."""
SIZE, FRAME_RATE = PAPER.frame_size, PAPER.frame_rate
"""Side of its pictures and how many come in a second, unless others are asked for: what the released models see."""
_LOUDEST = 0.95


@dataclass(frozen=True)
class Scene:
    """What was drawn for one seed. The scene is named after its first actor; the others accompany it."""

    seed: int
    duration: float
    stage: Stage
    actors: tuple[Actor, ...]

    @property
    def kind(self) -> str:
        """One of :data:`~mdsgen.scenes.KINDS`."""
        return self.actors[0].kind

    @property
    def truth(self) -> Truth:
        """What happens when."""
        return Truth(tuple(actor.source for actor in self.actors))

    def frames(self, size: int = SIZE, count: int | None = None, frame_rate: float = FRAME_RATE) -> np.ndarray:
        """The pictures of the scene, uint8 ``[count, size, size, 3]`` RGB; as many as fit into it unless told.

        Picture ``n`` is taken in the middle of its time, at ``(n + 1/2) / frame_rate`` seconds: there
        :func:`~mdsgen.media.read_frames` finds it in a film of the scene, too.
        """
        film = self.film(size, frame_rate)
        count = int(self.duration * frame_rate) if count is None else count
        pictures = np.empty((count, size, size, 3), dtype=np.uint8)
        for index in range(count):
            pictures[index] = next(film)
        return pictures

    def film(self, size: int = SIZE, frame_rate: float = FRAME_RATE) -> Iterator[np.ndarray]:
        """The same pictures one by one, uint8 ``[size, size, 3]``, without an end."""
        if size < 8 or not 0 < frame_rate < math.inf:
            raise SceneError(f"expected pictures of 8 pixels or more at a positive rate, not {size} at {frame_rate:g}")
        return self.shots(size, frame_rate, itertools.count())

    def shots(self, size: int, frame_rate: float, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Some of these pictures, by their numbers ascending; one that is asked for again is the same array."""
        backdrop, last, picture = self.stage.backdrop(size), -1, np.empty(0, np.uint8)
        for index in numbers:
            if index == last:
                yield picture
                continue
            canvas = Canvas(backdrop.copy())
            for actor in self.actors:
                actor.draw(canvas, (index + 0.5) / frame_rate)
            last, picture = index, self.stage.develop(canvas, index)
            yield picture

    def sound(self, samples: int | None = None) -> np.ndarray:
        """The first ``samples`` (all) of the scene's sound, float32 in -1..1, mono at 16 kHz.

        Loudness is that of the place: what is near and hard is louder. Where it would be cut off, the whole recording
        is turned down.
        """
        whole = round(self.duration * SAMPLE_RATE)
        samples = whole if samples is None else samples
        if not 0 < samples <= whole:
            raise SceneError(f"expected 1 to {whole} samples of a scene of {self.duration:g} s, not {samples}")
        sound = self.stage.room(whole)
        for actor in self.actors:
            sound += np.float32(actor.place.zoom) * actor.sound(whole)
        peak = float(np.abs(sound).max())
        return sound[:samples] * np.float32(min(1.0, _LOUDEST / peak))
