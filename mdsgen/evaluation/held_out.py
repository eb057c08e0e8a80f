"""Scenes that no training has seen, and sounds that are wrong for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.evaluation.judge import thumbnails
from mdsgen.evaluation.labels import onset_times
from mdsgen.evaluation.matching import coincide
from mdsgen.geometry import DEMO, FRAME_SIZE, SAMPLE_RATE
from mdsgen.scenes import IMPACTS, Scene, sample_scene

HELD_OUT = 100_000
"""Scenes are evaluated on seeds below this one, and trained on seeds above it."""
SHIFTS = 0.25, 3.0
"""Seconds by which the sound of a shifted pair is too early or too late: from one picture to several beats."""


@dataclass(frozen=True)
class Clip:
    """A scene as the evaluation needs it: ``pictures`` uint8 ``[32, 56, 56, 3]``."""

    scene: Scene
    pictures: np.ndarray

    @cached_property
    def sound(self) -> np.ndarray:
        """The scene's own sound, float32 ``[131072]``."""
        return self.scene.sound(DEMO.samples)

    @cached_property
    def onsets(self) -> np.ndarray:
        """Seconds at which something is to be heard, ``[onsets]``."""
        return onset_times(self.scene.truth, DEMO.duration)

    def shifted(self) -> np.ndarray | None:
        """The scene's sound rolled in time, ``[131072]``; None where no shift that was tried could be heard.

        Only blows tell the time: other scenes have no such sound. Neither has a rhythm that is the same again after
        every one of eight random shifts.
        """
        if self.scene.kind not in IMPACTS:
            return None
        rng = np.random.default_rng([self.scene.seed])
        for seconds in rng.uniform(*SHIFTS, 8) * rng.choice([-1, 1], 8):
            if not coincide(np.sort((self.onsets + seconds) % DEMO.duration), self.onsets):
                return np.roll(self.sound, round(seconds * SAMPLE_RATE))
        return None


def held_out(count: int, first_seed: int = 0) -> Iterator[tuple[Clip, np.ndarray]]:
    """Held-out scenes, each with the frames for a generator: uint8 ``[33, 224, 224, 3]``, more than its window.

    Raises :class:`SettingsError` as :func:`check_held_out` does.
    """
    check_held_out(count, first_seed)
    return map(_render, range(first_seed, first_seed + count))


def check_held_out(count: int, first_seed: int) -> None:
    """Raise :class:`SettingsError` where so many scenes would take one that is trained on."""
    if count < 1 or first_seed < 0 or first_seed + count > HELD_OUT:
        raise SettingsError(
            f"expected seeds from 0 to {HELD_OUT - 1}, not {count} from {first_seed} on: others are trained on"
        )


def _render(seed: int) -> tuple[Clip, np.ndarray]:
    scene = sample_scene(seed, duration=DEMO.duration)
    frames = scene.frames(FRAME_SIZE, DEMO.video_frames + 1)  # the window ends in the last one
    return Clip(scene, thumbnails(frames)), frames
