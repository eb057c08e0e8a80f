"""The clips that INT8 is calibrated on: rendered scenes, or videos of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdsgen.errors import ExportError, MediaError
from mdsgen.export.clip import scene_frames, verification_frames
from mdsgen.geometry import Geometry
from mdsgen.media import probe, read_folder
from mdsgen.scenes import sample_scene
from mdsgen.scenes.catalogue import SHORTEST

LEAST_CLIPS = 4
"""Fewer do not show how far the activations reach."""

_FIRST_SCENE = 200_000
"""The seed of the first scene: evaluation has those below 100 000 for itself."""


@dataclass(frozen=True)
class CalibrationClip:
    """One clip: ``name`` for people, and what reads its frames, float32 ``[F, 3, size, size]`` in 0..1."""

    name: str
    frames: Callable[[], np.ndarray]


@dataclass(frozen=True)
class CalibrationOptions:
    """What INT8 is calibrated on: ``clips``, or the videos of a folder, or else so many rendered ``scenes``.

    Scenes begin with the one of ``seed``, and so does the noise. Raises :class:`ExportError` for fewer clips than
    :data:`LEAST_CLIPS`, and as :func:`readable_videos` does.
    """

    clips: Sequence[CalibrationClip] = ()
    videos: Path | None = None
    scenes: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips:
            _check_enough(len(self.clips), "clip")
        elif self.videos is not None:
            readable_videos(self.videos)
        else:
            _check_enough(self.scenes, "scene")

    def __str__(self) -> str:
        if self.clips:
            return f"the {len(self.clips)} clips"
        return f"the videos of {self.videos}" if self.videos is not None else f"the {self.scenes} scenes"

    def of(self, geometry: Geometry) -> Sequence[CalibrationClip]:
        """The clips, as a model of this geometry takes them: of a video its first window."""
        if self.clips:
            return self.clips
        if self.videos is not None:
            videos = readable_videos(self.videos)
            return [CalibrationClip(path.name, partial(verification_frames, geometry, path)) for path in videos]
        numbers = range(_FIRST_SCENE + self.seed, _FIRST_SCENE + self.seed + self.scenes)
        return [CalibrationClip(f"scene {n}", partial(_rendered, geometry, n)) for n in numbers]


def readable_videos(folder: Path) -> Sequence[Path]:
    """The videos of a folder by name.

    Raises :class:`ExportError` where there is no such folder, it holds fewer than :data:`LEAST_CLIPS`, or some of them
    cannot be read: all of these by name.
    """
    if not folder.is_dir():
        raise ExportError(f"there is no folder {folder} with videos to calibrate on")
    try:
        videos = read_folder(folder).videos
    except MediaError as error:
        raise ExportError(str(error)) from error
    _check_readable(videos)
    _check_enough(len(videos), "video", f" in {folder}")
    return videos


def _check_enough(count: int, kind: str, where: str = "") -> None:
    """Raise :class:`ExportError` where there are fewer than :data:`LEAST_CLIPS` of this kind."""
    if count < LEAST_CLIPS:
        found = f"{count} {kind}{'' if count == 1 else 's'}{where}"
        raise ExportError(f"INT8 is calibrated on {LEAST_CLIPS} clips or more, not on {found}: add some")


def _check_readable(videos: Sequence[Path]) -> None:
    failures = []
    for path in videos:
        try:
            probe(path)
        except MediaError as error:
            failures.append(str(error))
    if failures:
        raise ExportError(f"{len(failures)} of {len(videos)} videos cannot be calibrated on: {'; '.join(failures)}")


def _rendered(geometry: Geometry, number: int) -> np.ndarray:
    return scene_frames(sample_scene(number, duration=max(SHORTEST, geometry.duration)), geometry)
