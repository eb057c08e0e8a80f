"""How long a bundle takes for one clip on a GPU: every stage in stream order, the whole as one graph, and the host."""

from __future__ import annotations

import time

import numpy as np

from mdsgen.kernels import module as kernels
from mdsgen.runtime.device_window import SOURCES, DeviceWindow
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import seeded_noise
from mdsgen.runtime.window_generator import Timings
from mdsgen.sampling import Sampling
from mdsgen.timing import Measurement

IN_ORDER = "whole clip in stream order"
HOST = "host, to launch a clip"
"""How long the host is busy before it can go on while the GPU computes a whole clip."""

_LAUNCHES = 50


class DeviceStages:
    """One clip's buffers and graph, and what they were timed to take. A context manager.

    Raises :class:`EngineError` where the clip cannot be on the device: it is not timed in another way instead.
    """

    def __init__(self, networks: Networks, sampling: Sampling) -> None:
        plan, loaded = networks.plan(sampling), kernels.Kernels(SOURCES)
        self._clip = DeviceWindow(networks.device_engines, loaded, len(plan), networks.marked_columns)
        self._geometry = networks.geometry
        try:
            self._clip.load(plan)
        except BaseException:
            self._clip.close()
            raise

    @property
    def replays(self) -> bool:
        """Whether a clip is one launch."""
        return self._clip.replay.replays

    def time(self, whole: str, repeat: int, warmup: int) -> dict[str, Measurement]:
        """Seconds of each stage by events on the stream, of clips in both ways by the host's clock (the replayed ones
        under the name of the ``whole``), and of a launch."""
        geometry = self._geometry
        shape = (geometry.video_frames, geometry.frame_size, geometry.frame_size, 3)
        frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        noise = seeded_noise(geometry, 0)
        for _ in range(1 + warmup):  # the first one is captured
            self._clip(frames, noise)
        seconds: dict[str, list[float]] = {}
        in_order: list[float] = []
        for _ in range(repeat):
            timings, start = Timings(), time.perf_counter()
            self._clip.fill(frames, noise)
            self._clip.replay.in_stream_order(timings)
            in_order.append(time.perf_counter() - start)
            for stage, taken in timings.seconds.items():
                seconds.setdefault(stage, []).append(taken)
        seconds[IN_ORDER] = in_order
        if self.replays:
            seconds[whole] = [self._replayed(frames, noise) for _ in range(repeat)]
            seconds[HOST] = [self._launched() for _ in range(_LAUNCHES)]
        return {stage: Measurement(tuple(taken)) for stage, taken in seconds.items()}

    def _replayed(self, frames: np.ndarray, noise: np.ndarray) -> float:
        start = time.perf_counter()
        self._clip(frames, noise)
        return time.perf_counter() - start

    def _launched(self) -> float:
        start = time.perf_counter()
        self._clip.replay.launch()
        taken = time.perf_counter() - start
        self._clip.device.synchronize()
        return taken

    def close(self) -> None:
        """Give graph and buffers back."""
        self._clip.close()

    def __enter__(self) -> DeviceStages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
