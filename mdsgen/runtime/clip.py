"""One window from frames to sound, stage by stage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdsgen.media import prepare_frames
from mdsgen.runtime.branches import Branches
from mdsgen.runtime.guidance import ALWAYS
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import OnStep, solve
from mdsgen.runtime.solver import DEFAULT_SOLVER, FRESH, SolverStep, solver_steps


@dataclass(frozen=True)
class SamplerSettings:
    """How a clip is sampled. Impossible values are refused when the steps are computed."""

    steps: int
    guidance: float
    guidance_power: float
    solver: str = DEFAULT_SOLVER
    guidance_interval: tuple[float, float] = ALWAYS
    unconditional_every: int = 1
    clean_limit: float = math.inf

    def solve(self) -> tuple[SolverStep, ...]:
        """The solver's steps with all their coefficients."""
        return solver_steps(
            self.steps,
            self.guidance,
            self.guidance_power,
            self.solver,
            guidance_interval=self.guidance_interval,
            unconditional_every=self.unconditional_every,
            clean_limit=self.clean_limit,
        )

    @property
    def passes(self) -> int:
        """How often the denoiser looks at a latent: twice in a step that computes both branches, else once."""
        return sum(2 if step.unconditional == FRESH else 1 for step in self.solve())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; no limit is None."""
        limit = None if math.isinf(self.clean_limit) else self.clean_limit
        return {**vars(self), "guidance_interval": list(self.guidance_interval), "clean_limit": limit}


def timesteps_of(steps: Sequence[SolverStep]) -> np.ndarray:
    """What the conditioning graph is told, ``[steps]`` float32."""
    return np.array([step.timestep for step in steps], np.float32)


@dataclass
class Timings:
    """Seconds per stage, added up over all windows, in the order in which the stages first ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside under this name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class ClipGenerator:
    """Runs the five networks of one window after the other; everything that depends on the steps alone is kept."""

    def __init__(self, networks: Networks, settings: SamplerSettings) -> None:
        self._networks = networks
        self._steps = settings.solve()
        self._timesteps = timesteps_of(self._steps)

    def __call__(
        self, frames: np.ndarray, noise: np.ndarray, timings: Timings, on_step: OnStep = lambda done: None
    ) -> np.ndarray:
        """``frames`` uint8 ``[F, H, W, 3]`` and ``noise [1, C, H, W]`` -> waveform ``[samples]``, float32.

        Frames that :func:`~mdsgen.media.prepare_frames` has prepared are taken as they are.
        """
        with timings.stage("video encoder"):
            prepared = frames if frames.dtype == np.float32 else prepare_frames(frames)  # [F, 3, 224, 224]
            features = self._networks.encode(prepared)  # [1, F, 512]
        with timings.stage("conditioning"):
            modulations = self._networks.condition(features, self._timesteps)  # [steps, 2, M, D]
        with timings.stage("denoiser"):
            latent = self.denoise(noise, modulations, on_step)  # [1, C, H, W]
        with timings.stage("latent decoder"):
            log_mel = self._networks.decode(latent)  # [1, frames, bins]
        with timings.stage("vocoder"):
            waveform = self._networks.vocode(log_mel)  # [1, samples]
        sound: np.ndarray = waveform[0]
        return sound

    def denoise(self, noise: np.ndarray, modulations: np.ndarray, on_step: OnStep = lambda done: None) -> np.ndarray:
        """The diffusion loop: ``noise [1, C, H, W]`` -> latent of the same shape."""
        return solve(noise, self._steps, Branches(self._networks, self._steps, modulations), on_step)
