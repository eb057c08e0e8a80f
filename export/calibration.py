"""What INT8 is calibrated on: denoising trajectories of several clips, every step of them, both guidance branches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdsgen.errors import ExportError, MediaError
from mdsgen.export.activations import Activations
from mdsgen.export.calibration_clips import CalibrationClip, CalibrationOptions
from mdsgen.export.verify import Conditioner
from mdsgen.report import Report, counted, silent
from mdsgen.runtime.sampler import Estimates, seeded_noise, solve
from mdsgen.runtime.solver import Plan, plan_steps, timesteps_of
from mdsgen.sampling import Sampling

_COMPARED_STEPS = 3  # of a clip's trajectory: near its beginning, its middle and its end
_COMPARED_CLIPS = 2


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


def calibrate(
    networks: Conditioner,
    denoiser: Activations,
    options: CalibrationOptions,
    sampling: Sampling,
    report: Report = silent,
) -> Calibration:
    """Generate the latents of all clips with ``denoiser``, and watch it doing so.

    ``networks`` encode the frames and compute the modulations. The same clips and seed give the same calibration.
    """
    clips = options.of(networks.geometry)
    plan = plan_steps(sampling, networks.schedule)
    feeds: list[Feed] = []
    for number, clip in enumerate(counted(clips, len(clips), "calibrating on clip", report)):
        features = networks.encode(_frames(clip))  # [1, F, 512]
        modulations = networks.condition(features, timesteps_of(plan))  # [steps, 2, V, D]
        passes = _trajectory(denoiser, plan, seeded_noise(networks.geometry, options.seed, window=number), modulations)
        if number < _COMPARED_CLIPS:
            compared = np.linspace(0, len(passes) - 1, _COMPARED_STEPS + 2)[1:-1].round().astype(int)
            feeds += [passes[step] for step in compared]
    names = tuple(clip.name for clip in clips)
    return Calibration(names, options.seed, len(clips) * len(plan), dict(denoiser.maxima), tuple(feeds))


def _trajectory(denoiser: Activations, plan: Plan, noise: np.ndarray, modulations: np.ndarray) -> list[Feed]:
    """All passes from noise to latent, both guidance branches in each."""
    passes: list[Feed] = []

    def estimate(latent: np.ndarray, step: int) -> Estimates:
        found = denoiser(latent, modulations[step])  # [2, C, H, W]
        passes.append(Feed(latent.copy(), modulations[step], found))
        return found[:1], found[-1:]

    solve(noise, plan, estimate)
    return passes


def _frames(clip: CalibrationClip) -> np.ndarray:
    try:
        return clip.frames()
    except MediaError as error:
        raise ExportError(f"{clip.name} cannot be calibrated on: {error}") from error
