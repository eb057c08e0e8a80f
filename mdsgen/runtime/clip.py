"""One window from frames to sound, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from mdsgen.kernels import guided_step
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.solver import SolverStep, solver_steps

OnStep = Callable[[int], None]
"""Called with the number of solver steps done in this window. It stops the run by raising."""


@dataclass(frozen=True)
class SamplerSettings:
    """How a clip is sampled. Impossible values are refused when the steps are computed."""

    steps: int
    guidance: float
    guidance_power: float

    def solve(self) -> tuple[SolverStep, ...]:
        """The solver's steps with all their coefficients."""
        return solver_steps(self.steps, self.guidance, self.guidance_power)


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
        self._timesteps = np.array([step.timestep for step in self._steps], np.float32)

    def __call__(
        self, frames: np.ndarray, noise: np.ndarray, timings: Timings, on_step: OnStep = lambda done: None
    ) -> np.ndarray:
        """``frames [F, 3, 224, 224]`` in 0..1 and ``noise [1, C, H, W]`` -> waveform ``[samples]``, float32."""
        with timings.stage("video encoder"):
            features = self._networks.encode(frames)  # [1, F, 512]
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
        latent = np.array(noise, np.float32)
        clean = np.zeros_like(latent)
        for i, step in enumerate(self._steps):
            conditional, unconditional = self._networks.denoise(latent, modulations[i])  # [1, C, H, W] each
            guided_step(latent, conditional, unconditional, clean, step.coefficients)
            on_step(i + 1)
        return latent
