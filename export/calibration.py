"""What INT8 is calibrated on: denoising trajectories of several clips, every step of them, both guidance branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mdsgen.errors import ExportError, MediaError
from mdsgen.export.activations import Activations
from mdsgen.export.clip import verification_frames
from mdsgen.geometry import FRAME_SIZE, Geometry
from mdsgen.media import VIDEO_SUFFIXES, prepare_frames, probe
from mdsgen.report import Report
from mdsgen.runtime.sampler import Estimates, seeded_noise, solve
from mdsgen.runtime.solver import Plan, plan_steps, timesteps_of
from mdsgen.sampling import Sampling
from mdsgen.scenes import sample_scene
from mdsgen.scenes.catalogue import SHORTEST
from mdsgen.schedule import NoiseSchedule

LEAST_CLIPS = 4
"""Fewer do not show how far the activations reach."""

CLIPS = 8
"""Scenes that are rendered where no videos are named."""

_FIRST_SCENE = 200_000
"""The seed of the first scene: evaluation has those below 100 000 for itself."""

_COMPARED_STEPS = 3  # of a clip's trajectory: near its beginning, its middle and its end
_COMPARED_CLIPS = 2


@dataclass(frozen=True)
class CalibrationClip:
    """One clip: ``name`` for people, and what reads its frames, float32 ``[F, 3, 224, 224]`` in 0..1."""

    name: str
    frames: Callable[[], np.ndarray]


class Conditioner(Protocol):
    """What tells a denoiser of a clip."""

    geometry: Geometry
    schedule: NoiseSchedule

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [F, 3, 224, 224]`` -> features ``[1, F, 512]``."""

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """``features``, ``timesteps [steps]`` -> modulations ``[steps, 2, V, D]``."""


@dataclass(frozen=True)
class Feed:
    """One pass of the denoiser: ``latent [1, C, H, W]``, ``modulations [2, V, D]`` and ``noise [2, C, H, W]``."""

    latent: np.ndarray
    modulations: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """The largest magnitudes of every linear layer's input, and some passes to compare what is made with.

    ``maxima`` has them by the name of that input, ``[K]``; ``passes`` is how many passes were watched, and ``feeds``
    are a few of them.
    """

    clips: tuple[str, ...]
    seed: int
    passes: int
    maxima: dict[str, np.ndarray]
    feeds: tuple[Feed, ...] = field(repr=False)

    def describe(self) -> dict[str, Any]:
        """What it used, for the manifest."""
        return {"clips": list(self.clips), "seed": self.seed, "passes": self.passes}


def scene_clips(geometry: Geometry, count: int = CLIPS, seed: int = 0) -> Sequence[CalibrationClip]:
    """``count`` rendered scenes that no evaluation uses, from the one of this seed on."""
    numbers = range(_FIRST_SCENE + seed, _FIRST_SCENE + seed + count)
    return enough([CalibrationClip(f"scene {n}", partial(_rendered, geometry, n)) for n in numbers], "scene")


def video_clips(geometry: Geometry, folder: Path) -> Sequence[CalibrationClip]:
    """The videos of a folder by name, the first window of each.

    Raises :class:`ExportError` where there is no such folder, it holds fewer than :data:`LEAST_CLIPS`, or some of them
    cannot be read: all of these by name.
    """
    if not folder.is_dir():
        raise ExportError(f"there is no folder {folder} with videos to calibrate on")
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise ExportError(f"no videos in {folder}: expected files that end in {', '.join(sorted(VIDEO_SUFFIXES))}")
    _check_readable(videos)
    clips = [CalibrationClip(path.name, partial(verification_frames, geometry, path)) for path in videos]
    return enough(clips, "video", f" in {folder}")


def calibrate(
    networks: Conditioner,
    denoiser: Activations,
    clips: Sequence[CalibrationClip],
    sampling: Sampling,
    *,
    seed: int = 0,
    report: Report = lambda line: None,
) -> Calibration:
    """Generate the latents of all clips with ``denoiser``, and watch it doing so.

    ``networks`` encode the frames and compute the modulations. The same clips and seed give the same calibration.
    Raises :class:`ExportError` for fewer clips than :data:`LEAST_CLIPS`.
    """
    plan = plan_steps(sampling, networks.schedule)
    feeds: list[Feed] = []
    for number, clip in enumerate(enough(clips)):
        report(f"calibrating on {clip.name}, clip {number + 1} of {len(clips)}")
        features = networks.encode(_frames(clip))  # [1, F, 512]
        modulations = networks.condition(features, timesteps_of(plan))  # [steps, 2, V, D]
        passes = _trajectory(denoiser, plan, seeded_noise(networks.geometry, seed, window=number), modulations)
        if number < _COMPARED_CLIPS:
            compared = np.linspace(0, len(passes) - 1, _COMPARED_STEPS + 2)[1:-1].round().astype(int)
            feeds += [passes[step] for step in compared]
    names = tuple(clip.name for clip in clips)
    return Calibration(names, seed, len(clips) * len(plan), dict(denoiser.maxima), tuple(feeds))


def enough(clips: Sequence[CalibrationClip], kind: str = "clip", where: str = "") -> Sequence[CalibrationClip]:
    """The clips. Raises :class:`ExportError` where there are fewer than :data:`LEAST_CLIPS` of this kind."""
    if len(clips) < LEAST_CLIPS:
        found = f"{len(clips)} {kind}{'' if len(clips) == 1 else 's'}{where}"
        raise ExportError(f"INT8 is calibrated on {LEAST_CLIPS} clips or more, not on {found}: add some")
    return clips


def check_clips(precision: str, clips: Sequence[CalibrationClip]) -> None:
    """Raise :class:`ExportError` for clips that are too few, or that another precision than INT8 has no use for."""
    if clips and precision != "int8":
        raise ExportError(f"{precision} is not calibrated: leave out the {len(clips)} clips, or choose int8")
    if clips:
        enough(clips)


def _trajectory(denoiser: Activations, plan: Plan, noise: np.ndarray, modulations: np.ndarray) -> list[Feed]:
    """All passes from noise to latent, both guidance branches in each."""
    passes: list[Feed] = []

    def estimate(latent: np.ndarray, step: int) -> Estimates:
        found = denoiser(latent, modulations[step])  # [2, C, H, W]
        passes.append(Feed(latent.copy(), modulations[step], found))
        return found[:1], found[1:]

    solve(noise, plan, estimate)
    return passes


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
    """The frames of a scene, float32 ``[F, 3, 224, 224]`` in 0..1."""
    scene = sample_scene(number, duration=max(SHORTEST, geometry.duration))
    return prepare_frames(scene.frames(FRAME_SIZE, geometry.video_frames))


def _frames(clip: CalibrationClip) -> np.ndarray:
    try:
        return clip.frames()
    except MediaError as error:
        raise ExportError(f"{clip.name} cannot be calibrated on: {error}") from error
