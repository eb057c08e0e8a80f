"""What generates a window's sound with a sampling: one graph on the GPU, or network after network on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mdsgen.bundle import DENOISER
from mdsgen.engines import warn_once
from mdsgen.engines.device import DeviceEngine
from mdsgen.errors import MdsgenError
from mdsgen.runtime.known import Known
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import OnStep
from mdsgen.runtime.solver import Plan
from mdsgen.runtime.window_generator import Generator, Timings, WindowGenerator
from mdsgen.sampling import Sampling

if TYPE_CHECKING:
    from mdsgen.runtime.device_window import DeviceWindow, StepKernels


class Generators:
    """The generators of opened networks. Graph and buffers of the last window are kept for the next one like it."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._kernels: StepKernels | None = None
        self._clip: DeviceWindow | None = None

    def of(self, sampling: Sampling) -> Generator:
        """What generates with this sampling. Raises :class:`~mdsgen.errors.SettingsError` for more steps than the model
        was trained in, and for guidance of a denoiser that has no unconditional branch."""
        plan = self._networks.plan(sampling)
        engines = self._networks.device_engines
        if not engines:
            return WindowGenerator(self._networks, sampling)
        try:
            self.clip(engines, len(plan)).load(plan)
        except MdsgenError as error:
            warn_once(f"the diffusion loop goes through the host: {error}")
            return WindowGenerator(self._networks, sampling)
        return _OnDevice(self, engines, plan)

    def clip(
        self, engines: Mapping[str, DeviceEngine], steps: int, picture: tuple[int, int] | None = None
    ) -> DeviceWindow:
        """Buffers and graph for so many steps and pictures of that size: those at hand, or new ones in their place."""
        size = self._networks.geometry.frame_size  # as the runtime reads them from a video
        picture = picture or (self._clip.picture if self._clip else (size, size))
        if self._clip is None or (self._clip.steps, self._clip.picture) != (steps, picture):
            from mdsgen.kernels.module import Kernels
            from mdsgen.runtime.device_window import SOURCES, DeviceWindow

            self._close_clip()
            engines[DENOISER].device.make_current()
            self._kernels = self._kernels or Kernels(SOURCES)
            self._clip = DeviceWindow(engines, self._kernels, steps, self._networks.marked_columns, picture)
        return self._clip

    def close(self) -> None:
        """Give back what is on the GPU. Closing twice is harmless."""
        kernels, self._kernels = self._kernels, None
        try:
            self._close_clip()
        finally:
            if kernels is not None:
                kernels.close()

    def _close_clip(self) -> None:
        clip, self._clip = self._clip, None
        if clip is not None:
            clip.close()


class _OnDevice(Generator):
    """A generator whose steps are on the GPU: they cannot be reported one by one, so the last one is."""

    def __init__(self, generators: Generators, engines: Mapping[str, DeviceEngine], plan: Plan) -> None:
        self._generators, self._engines, self._plan = generators, engines, plan

    def go_on(
        self,
        frames: np.ndarray,
        noise: np.ndarray,
        known: Known | None,
        timings: Timings,
        on_step: OnStep = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        from mdsgen.media import check_pictures

        check_pictures(frames)
        _, height, width, _ = frames.shape
        clip = self._generators.clip(self._engines, len(self._plan), (height, width))
        clip.load(self._plan)
        made = clip.go_on(frames, noise, known, timings)
        on_step(len(self._plan))
        return made
