"""Scenes that no training has seen, and sounds that are wrong for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.evaluation.judge import PICTURE_RATE, PICTURE_SIZE, PICTURES, thumbnails
from mdsgen.evaluation.labels import onset_times
from mdsgen.evaluation.matching import coincide
from mdsgen.geometry import DEMO, SAMPLE_RATE, Geometry
from mdsgen.scenes import IMPACTS, KINDS, Scene, sample_scene, write_video

HELD_OUT = 100_000
"""Scenes are evaluated on seeds below this one, and trained on seeds above it."""
SHIFTS = 0.25, 3.0
"""Seconds by which the sound of a shifted pair is too early or too late: from one picture to several beats."""
FILM_RATES = 24, 25, 30, 60
"""Pictures a second of the films that scenes are judged as, in turn by their seeds."""

SIDE = 4 * PICTURE_SIZE
"""Scenes are drawn so large, and averaged for the judge."""

_COMPRESSION = 30  # x264's constant rate factor: about as much as the films of the web


@dataclass(frozen=True)
class Selection:
    """Which held-out scenes are judged: ``count`` of them from ``first_seed`` on, each ``seconds`` long.

    With ``kinds`` they are of these in turn, otherwise of whichever kind their seed draws. Raises
    :class:`SettingsError` where a scene would be one that is trained on, and for an unknown kind.
    """

    count: int
    first_seed: int = 0
    kinds: tuple[str, ...] = ()
    seconds: float = DEMO.duration

    def __post_init__(self) -> None:
        check_held_out(self.count, self.first_seed)
        for kind in self.kinds:
            if kind not in KINDS:
                raise SettingsError(f"scene kind {kind!r} is unknown: expected one of {', '.join(KINDS)}")

    def scenes(self) -> Iterator[Scene]:
        """The scenes, drawn one by one."""
        for index in range(self.count):
            kind = self.kinds[index % len(self.kinds)] if self.kinds else None
            yield sample_scene(self.first_seed + index, kind, self.seconds)

    def clips(self) -> Iterator[Clip]:
        """Scenes of one window, rendered one by one."""
        return (Clip(scene, thumbnails(scene.frames(SIDE, PICTURES, PICTURE_RATE))) for scene in self.scenes())


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

    def write_film(self, folder: Path) -> Path:
        """Write what is seen as a compressed film, without sound, at one of :data:`FILM_RATES`."""
        return write_film(self.scene, folder)

    def frames(self, geometry: Geometry) -> np.ndarray:
        """What is seen as a model of this geometry takes it, uncompressed: uint8 ``[F, size, size, 3]``."""
        return self.scene.frames(geometry.frame_size, geometry.video_frames, geometry.frame_rate)

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


def held_out(count: int, first_seed: int = 0) -> Iterator[Clip]:
    """Held-out scenes of one window, rendered one by one.

    Raises :class:`SettingsError` as :func:`check_held_out` does.
    """
    return Selection(count, first_seed).clips()


def check_held_out(count: int, first_seed: int) -> None:
    """Raise :class:`SettingsError` where so many scenes would take one that is trained on."""
    if count < 1 or first_seed < 0 or first_seed + count > HELD_OUT:
        raise SettingsError(
            f"expected seeds from 0 to {HELD_OUT - 1}, not {count} from {first_seed} on: others are trained on"
        )


def write_film(scene: Scene, folder: Path) -> Path:
    """Write what is seen of a scene as a compressed film, without sound, at one of :data:`FILM_RATES`."""
    path = folder / f"scene-{scene.seed}.mp4"
    rate = FILM_RATES[scene.seed % len(FILM_RATES)]
    write_video(scene, path, rate, SIDE, silent=True, quality=_COMPRESSION)
    return path
