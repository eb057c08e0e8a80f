"""A bundle's plans on TensorRT, with everything on the device: as one CUDA graph, or call by call in stream order."""

from __future__ import annotations

from functools import partial

import numpy as np

from mdsgen.bench.backends import Run
from mdsgen.bench.engine_backend import EngineBackend
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.engines.cuda import Pinned
from mdsgen.errors import EngineError
from mdsgen.kernels import module as kernels
from mdsgen.runtime.device_window import SOURCES, DeviceWindow
from mdsgen.runtime.replay import Mark, Replay
from mdsgen.sampling import Sampling


class TensorRtBackend(EngineBackend):
    """Loops and clips never leave the device. A step is as on any engine: staged, in stream order."""

    def __init__(self, source: Subject, threads: int, graph: bool) -> None:
        self._graph = graph
        super().__init__(source, threads, "tensorrt")

    def _describe(self, engine: str) -> None:
        super()._describe(engine)
        self.what += ", solver on the device, " + ("one CUDA graph" if self._graph else "in stream order")

    def loop(self, inputs: Inputs, sampling: Sampling) -> Run:
        clip = self._clip(sampling)
        clip.put("features", inputs.features)
        loop = DeviceLoop(clip, self._graph)
        self._held.callback(loop.close)
        loop(inputs.latent)
        self._require_graph(loop.replay)
        return lambda: loop(inputs.latent)

    def clip(self, inputs: Inputs, sampling: Sampling) -> Run:
        clip = self._clip(sampling)
        clip(inputs.pictures, inputs.latent)
        self._require_graph(clip.replay)
        return lambda: clip(inputs.pictures, inputs.latent)

    def _clip(self, sampling: Sampling) -> DeviceWindow:
        networks, held = self._open(), self._hold()
        plan = networks.plan(sampling)
        loaded = kernels.Kernels(SOURCES)
        held.callback(loaded.close)
        clip = DeviceWindow(networks.device_engines, loaded, len(plan), networks.marked_columns, graph=self._graph)
        held.callback(clip.close)
        clip.load(plan)
        return clip

    def _require_graph(self, replay: Replay) -> None:
        """What goes on in stream order is not timed under the graph's name."""
        if self._graph and not replay.replays:
            raise EngineError("tensorrt: the work is not one CUDA graph here, see the warning: compare tensorrt-stream")


class DeviceLoop:
    """Conditioning and the denoising loop in a clip's buffers: noise goes up, the latent comes down.

    The features are on the device already. Whoever makes it closes it before the clip.
    """

    def __init__(self, clip: DeviceWindow, graph: bool) -> None:
        self._clip = clip
        self._latent: Pinned = clip.device.pinned(clip.latent_shape, "float32")
        self.replay = Replay(clip.device, clip.connect, self._enqueue, self._latent, graph, clip.shape_changes)

    def __call__(self, noise: np.ndarray) -> np.ndarray:
        """``noise`` to the latent, both ``[1, C, H, W]``. The array is the same in every call."""
        self._clip.fill_start(noise)
        self.replay()
        return self._latent.array

    def close(self) -> None:
        """Give graph and buffer back."""
        try:
            self.replay.close()
        finally:
            self._latent.free()

    def _enqueue(self, mark: Mark) -> None:
        self._clip.upload_start()
        mark("upload")
        self._clip.enqueue_loop(mark)
        self._clip.download(self._latent, "latent")
        mark("download")


on_graph = partial(TensorRtBackend, graph=True)  # refuses to run where there is no graph
in_stream_order = partial(TensorRtBackend, graph=False)  # the same plans and kernels, one call after the other
