"""A held-out scene of several windows, and the sounds that are made for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdsgen.evaluation.held_out import SIDE, write_film
from mdsgen.evaluation.judge import PICTURE_RATE, PICTURE_SIZE, PICTURES, thumbnails
from mdsgen.evaluation.labels import all_impacts, onset_times
from mdsgen.geometry import DEMO, SAMPLE_RATE
from mdsgen.media import averaged
from mdsgen.scenes import IMPACTS, Scene

_FINE = 100.0  # pictures per second among which the judge's are found: a window begins between any two of four


@dataclass(frozen=True)
class FilmSounds:
    """What was generated for a film: as a ``whole [samples]``, and its windows ``alone`` one after the other.

    ``joins`` are the seconds at which a window's sound begins to become the next one's in the whole.
    """

    whole: np.ndarray
    joins: np.ndarray
    alone: np.ndarray


@dataclass(frozen=True)
class Film:
    """A scene that is longer than the ``window`` of a model, in seconds."""

    scene: Scene
    window: float = DEMO.duration

    @cached_property
    def sound(self) -> np.ndarray:
        """The scene's own sound, float32 ``[samples]``."""
        return self.scene.sound()

    @cached_property
    def onsets(self) -> np.ndarray:
        """Seconds at which something is to be heard, ``[onsets]``."""
        return onset_times(self.scene.truth, self.scene.duration)

    @cached_property
    def blows(self) -> np.ndarray:
        """Seconds of all blows, however weak, ``[blows]``."""
        sources = [source for source in self.scene.truth.sources if source.kind in IMPACTS]
        return np.sort([event.time for source in sources for event in source.events])

    @cached_property
    def starts(self) -> tuple[float, ...]:
        """Seconds at which the windows begin that are alone; the last one may be shorter."""
        return tuple(float(start) for start in np.arange(0.0, self.scene.duration, self.window))

    @cached_property
    def judged(self) -> tuple[float, ...]:
        """Where the windows begin that can be judged: whole ones, and of blows only those in which there are any."""
        whole = [start for start in self.starts if start + self.window <= self.scene.duration]
        return tuple(start for start in whole if not all_impacts(self.scene.truth) or len(self.within(start)))

    def within(self, start: float) -> np.ndarray:
        """The onsets of the window that begins there, in seconds from its beginning."""
        here = self.onsets[(self.onsets >= start) & (self.onsets < start + self.window)]
        return np.asarray(here - start)

    def part(self, sound: np.ndarray, start: float) -> np.ndarray:
        """What a ``sound [samples]`` of the film is in that window."""
        first = round(start * SAMPLE_RATE)
        return sound[first : first + round(self.window * SAMPLE_RATE)]

    def pictures(self) -> Iterator[np.ndarray]:
        """What the judge sees of each judged window, uint8 ``[32, 56, 56, 3]``: all within 5 ms of its time."""
        for start in self.judged:
            times = start + (np.arange(PICTURES) + 0.5) / PICTURE_RATE
            numbers = (times * _FINE).astype(int)
            yield thumbnails(np.stack(list(self.scene.shots(SIDE, _FINE, numbers))))

    def strip(self, count: int) -> np.ndarray:
        """``count`` small pictures out of the whole film, uint8 ``[count, 56, 56, 3]``."""
        numbers = (np.arange(count) + 0.5) * self.scene.duration * _FINE / count
        return averaged(np.stack(list(self.scene.shots(SIDE, _FINE, numbers.astype(int)))), PICTURE_SIZE)

    def write_film(self, folder: Path) -> Path:
        """Write what is seen as a compressed film, without sound."""
        return write_film(self.scene, folder)
