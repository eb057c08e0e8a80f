"""One window from frames to sound without leaving the GPU: a single CUDA graph, captured once and replayed.

Upload, video encoder, conditioning, every step's denoiser and solver kernel, latent decoder, vocoder, download. A
network's output is the next one's input where it lies; a step's modulations are an address in those of all steps; other
guidance is another table of coefficients under the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.engines import warn_once
from mdsgen.engines.device import DeviceEngine
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.kernels import coefficient_table
from mdsgen.kernels.launch import Launch, StepArrays, guided_step_launch
from mdsgen.kernels.step import MOST_OLDER
from mdsgen.runtime.clip import Timings, timesteps_of
from mdsgen.runtime.solver import SolverStep

if TYPE_CHECKING:
    from mdsgen.engines.cuda import CapturedGraph, Event, Memory, Pinned

ALIGNMENT = 256
"""Bytes: TensorRT reads its tensors from multiples of it, the modulations of every single step too."""

TABLE_COLUMNS = 10
"""Numbers per step in :func:`~mdsgen.kernels.coefficient_table`."""

GRAPH = "cuda graph"
"""The stage's name in the timings where all stages are one launch."""

Mark = Callable[[str], None]
"""Called with a stage's name once all of it is on the stream."""


class StepKernels(Protocol):
    """What of :class:`~mdsgen.kernels.module.Kernels` is needed."""

    def launch(self, launch: Launch, stream: Any) -> None: ...


class DeviceClip:
    """All buffers and the graph for one number of steps, whatever the solver and the guidance.

    Every step computes both branches: the plans do so at once. Raises :class:`EngineError` where a plan does not take
    so many steps, or there is no memory left.
    """

    def __init__(self, engines: Mapping[str, DeviceEngine], kernels: StepKernels, steps: int) -> None:
        self._engines, self._kernels, self.steps = dict(engines), kernels, steps
        self._device = engines[DENOISER].device
        self._graph: CapturedGraph | None = None
        self._decided = False  # whether to replay or to go on in stream order
        self._loaded: tuple[SolverStep, ...] = ()
        self._memory: dict[str, Memory] = {}
        self._host: dict[str, Pinned] = {}
        shapes = self._shapes()
        with ExitStack() as made:
            for name, shape in shapes.items():
                self._memory[name] = self._device.allocate(4 * int(np.prod(shape)))
                made.callback(self._memory[name].free)
            for name in ("frames", "latent", "waveform", "timesteps", "table"):
                self._host[name] = self._device.pinned(shapes[name], "float32")
                made.callback(self._host[name].free)
            self._made = made.pop_all()

    @property
    def replays(self) -> bool:
        """Whether clips are launches of a graph; known after the first one."""
        return self._graph is not None

    def load(self, steps: Sequence[SolverStep]) -> None:
        """Bring the solver's table and the timesteps to the device; nothing is captured again for that.

        Raises :class:`~mdsgen.errors.KernelError` for a solver that the kernel does not know.
        """
        if self._loaded == tuple(steps):
            return
        self._host["table"].array[...] = coefficient_table(step.coefficients for step in steps)
        self._host["timesteps"].array[...] = timesteps_of(steps)
        for name in ("timesteps", "table"):
            self._device.upload(self._memory[name].address, self._host[name])
        self._device.synchronize()
        self._loaded = tuple(steps)

    def __call__(self, frames: np.ndarray, noise: np.ndarray, timings: Timings) -> np.ndarray:
        """``frames [F, 3, 224, 224]`` and ``noise [1, C, H, W]`` -> waveform ``[samples]``; :meth:`load` comes first.

        The first call runs in stream order, which also warms everything up, then captures the same and compares.
        """
        self._host["frames"].array[0] = frames
        self._host["latent"].array[...] = noise
        if not self._decided:
            sound = self._in_stream_order(timings)
            self._graph = self._captured(sound)
            self._decided = True
            return sound
        if self._graph is None:
            return self._in_stream_order(timings)
        with timings.stage(GRAPH):
            return self._replayed(self._graph)

    def close(self) -> None:
        """Give graph and buffers back. Closing twice is harmless."""
        graph, self._graph = self._graph, None
        with self._made:
            if graph is not None:
                graph.free()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Every buffer's shape, all float32; the one that is chosen here is the number of steps."""
        shapes: dict[str, tuple[int, ...]] = {}
        for graph, engine in self._engines.items():
            for spec in (*engine.inputs, *engine.outputs):
                name = "all_modulations" if (graph, spec.name) == (CONDITIONING, "modulations") else spec.name
                loose = name in ("timesteps", "all_modulations")
                shape = (self.steps, *spec.shape[1:]) if loose else spec.shape
                if spec.dtype != "float32" or any(isinstance(length, str) for length in shape):
                    raise EngineError(f"{graph}: expected {spec.name} in float32 and of fixed shape, found {spec}")
                shapes[name] = tuple(map(int, shape))
        least, most = self._engines[CONDITIONING].length_range("timesteps", 0)
        if not least <= self.steps <= most:
            raise EngineError(
                f"{CONDITIONING}: the plan takes {least} to {most} steps, not {self.steps}: build plans for it with "
                "mdsgen-export --engine tensorrt --max-steps or --fixed-steps"
            )
        del shapes["modulations"]  # one step's: they lie among those of all steps
        shapes |= {"clean": (1 + MOST_OLDER, *shapes["latent"]), "table": (self.steps, TABLE_COLUMNS)}
        if 4 * int(np.prod(shapes["all_modulations"][1:])) % ALIGNMENT:
            raise EngineError(f"{DENOISER}: a step's modulations {shapes['all_modulations'][1:]} are not aligned")
        return shapes

    def _connect(self) -> None:
        """Let every network read where the one before it wrote."""
        conditioning = self._engines[CONDITIONING]
        if any(isinstance(length, str) for spec in conditioning.inputs for length in spec.shape):
            conditioning.set_shape("timesteps", (self.steps,))
        for engine in self._engines.values():
            for spec in (*engine.inputs, *engine.outputs):
                if spec.name != "modulations":
                    engine.set_address(spec.name, self._memory[spec.name].address)
        conditioning.set_address("modulations", self._memory["all_modulations"].address)

    def _enqueue(self, mark: Mark = lambda stage: None) -> None:
        """Put the whole clip on the stream."""
        for name in ("frames", "latent"):
            self._device.upload(self._memory[name].address, self._host[name])
        mark("upload")
        self._engines[VIDEO_ENCODER].enqueue()
        mark("video encoder")
        self._engines[CONDITIONING].enqueue()
        mark("conditioning")
        for step in range(self.steps):
            self._enqueue_step(step)
        mark("denoiser")
        self._engines[LATENT_DECODER].enqueue()
        mark("latent decoder")
        self._engines[VOCODER].enqueue()
        mark("vocoder")
        self._device.download(self._host["waveform"], self._memory["waveform"].address)
        mark("download")

    def _enqueue_step(self, step: int) -> None:
        """Both branches through the denoiser, then guidance and solver, which leave the next latent in its place."""
        address = {name: memory.address for name, memory in self._memory.items()}
        modulations = self._memory["all_modulations"]
        self._engines[DENOISER].set_address(
            "modulations", modulations.address + step * (modulations.nbytes // self.steps)
        )
        self._engines[DENOISER].enqueue()
        arrays = StepArrays(
            latent=address["latent"],
            conditional=address["noise"],
            unconditional=address["noise"] + self._memory["noise"].nbytes // 2,
            clean=address["clean"],
            count=self._memory["latent"].nbytes // 4,
            noise_dtype="float32",
            older=MOST_OLDER,  # for every solver; what has no weight is not looked at
        )
        self._kernels.launch(guided_step_launch(arrays, address["table"], step), self._device.stream)

    def _in_stream_order(self, timings: Timings) -> np.ndarray:
        self._connect()  # each time: whoever ran a network by itself has changed its addresses
        marks: list[tuple[str, Event]] = [("", self._device.event())]
        self._enqueue(lambda stage: marks.append((stage, self._device.event())))
        self._device.synchronize()
        for (_, earlier), (stage, event) in pairwise(marks):
            timings.seconds[stage] = timings.seconds.get(stage, 0.0) + event.seconds_since(earlier)
        return self._sound()

    def _captured(self, sound: np.ndarray) -> CapturedGraph | None:
        """The clip as a graph, if it gives ``sound`` to the last bit; otherwise None, with the reason said once."""
        try:
            graph = self._device.capture(self._enqueue)
        except MdsgenError as error:
            warn_once(f"the clip is not one CUDA graph, and goes on in stream order: {error}")
            return None
        try:
            replayed = self._replayed(graph)
        except BaseException:
            graph.free()
            raise
        if replayed.tobytes() != sound.tobytes():
            graph.free()
            warn_once("the clip is not one CUDA graph, and goes on in stream order: replayed it sounds different")
            return None
        return graph

    def _replayed(self, graph: CapturedGraph) -> np.ndarray:
        graph.launch()
        self._device.synchronize()
        return self._sound()

    def _sound(self) -> np.ndarray:
        sound: np.ndarray = self._host["waveform"].array[0].copy()
        return sound
