"""One window of a video from frames to sound, stage by stage."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from mdsgen.bundle import DENOISER
from mdsgen.kernels import add_marks
from mdsgen.runtime.branches import Branches
from mdsgen.runtime.continuation import column_marks, held_columns
from mdsgen.runtime.known import Known
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.outputs import check_finite
from mdsgen.runtime.sampler import OnStep, solve
from mdsgen.runtime.solver import timesteps_of
from mdsgen.sampling import Sampling


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


class Generator(abc.ABC):
    """Makes one window's sound after the other."""

    @abc.abstractmethod
    def go_on(
        self,
        frames: np.ndarray,
        noise: np.ndarray,
        known: Known | None,
        timings: Timings,
        on_step: OnStep = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As a call, but going on from what is known, if anything is: the waveform, and the latent it was made of."""

    def __call__(
        self, frames: np.ndarray, noise: np.ndarray, timings: Timings, on_step: OnStep = lambda done: None
    ) -> np.ndarray:
        """``frames`` uint8 ``[F, H, W, 3]`` of any size, ``noise [1, C, H, W]`` -> waveform ``[samples]``, float32."""
        sound, _ = self.go_on(frames, noise, None, timings, on_step)
        return sound


class WindowGenerator(Generator):
    """Runs the five networks of one window after the other; what depends on the sampling alone is computed once.

    Frames that :func:`~mdsgen.media.prepare_frames` has prepared are taken as they are.
    """

    def __init__(self, networks: Networks, sampling: Sampling) -> None:
        self._networks, self._size = networks, networks.geometry.frame_size
        self._plan = networks.plan(sampling)
        self._timesteps = timesteps_of(self._plan)

    def go_on(
        self,
        frames: np.ndarray,
        noise: np.ndarray,
        known: Known | None,
        timings: Timings,
        on_step: OnStep = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        from mdsgen.media import prepare_frames  # with PyAV, which a pipeline is opened without

        with timings.stage("video encoder"):
            prepared = frames if frames.dtype == np.float32 else prepare_frames(frames, self._size)
            features = self._networks.encode(prepared)  # [F, 3, size, size] -> [1, F, 512]
        with timings.stage("conditioning"):
            modulations = self._networks.condition(features, self._timesteps)  # [steps, 2, M, D]
            if known is not None and self._networks.continues:
                modulations = np.array(modulations)  # the engine's own, perhaps
                add_marks(modulations, column_marks(known, modulations.shape[-1]))
        with timings.stage("denoiser"):
            latent = self.denoise(noise, modulations, on_step, known)  # [1, C, H, W]
        with timings.stage("latent decoder"):
            log_mel = self._networks.decode(latent)  # [1, frames, bins]
        with timings.stage("vocoder"):
            waveform = self._networks.vocode(log_mel)  # [1, samples]
        return waveform[0], latent

    def denoise(
        self,
        noise: np.ndarray,
        modulations: np.ndarray,
        on_step: OnStep = lambda done: None,
        known: Known | None = None,
    ) -> np.ndarray:
        """The diffusion loop: ``noise [1, C, H, W]`` -> latent of the same shape, which begins with what is known."""
        held = None if known is None else held_columns(known, noise)
        latent = solve(noise, self._plan, Branches(self._networks, self._plan, modulations), on_step, held)
        check_finite(DENOISER, latent)
        return latent
