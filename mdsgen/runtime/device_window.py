"""One window from frames to sound without leaving the GPU: a single CUDA graph, captured once and replayed.

Upload, frame preparation, video encoder, conditioning, every step's denoiser and solver kernel, latent decoder,
vocoder, download. A network's output is the next one's input where it lies; a step's modulations are an address in
those of all steps; other guidance is another table of coefficients under the same graph, and what a window knows is one
more array, of zeros where it knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.engines.device import DeviceEngine
from mdsgen.errors import EngineError, TensorError
from mdsgen.kernels import coefficient_table, hold
from mdsgen.kernels.launch import (
    Launch,
    MarkArrays,
    RgbFrames,
    StepArrays,
    add_marks_launch,
    guided_step_launch,
    prepare_frames_launch,
)
from mdsgen.kernels.step import MOST_OLDER
from mdsgen.runtime.continuation import column_marks, held_columns
from mdsgen.runtime.known import Known
from mdsgen.runtime.outputs import check_finite
from mdsgen.runtime.replay import Mark, Replay
from mdsgen.runtime.solver import NONE, Plan, timesteps_of
from mdsgen.runtime.window_generator import Timings

if TYPE_CHECKING:
    from mdsgen.engines.cuda import Memory, Pinned

SOURCES = ("step", "frames", "marks")
"""The kernels that a clip launches."""

ALIGNMENT = 256
"""Bytes: TensorRT reads its tensors from multiples of it, the modulations of every single step too."""

TABLE_COLUMNS = 12
"""Numbers per step in :func:`~mdsgen.kernels.coefficient_table`."""


class StepKernels(Protocol):
    """What of :class:`~mdsgen.kernels.module.Kernels` is needed."""

    def launch(self, launch: Launch, stream: Any) -> None: ...
    def close(self) -> None: ...


class DeviceWindow:
    """All buffers and the graph for one number of steps and one size of pictures, whatever the solver and the guidance,
    and however much a window knows.

    ``marked_columns``: how many of the last rows of the modulations get a mark where their column is known, 0 for a
    denoiser that was not trained to go on. ``picture`` is height and width of the pictures that are brought, None those
    that the video encoder takes. Every step computes the branches that the denoiser's plan has: both at once, or the
    conditional one alone, without guidance. Raises :class:`EngineError` where a plan does not take so many steps, or
    there is no memory left. ``graph=False`` stays in stream order.
    """

    def __init__(
        self,
        engines: Mapping[str, DeviceEngine],
        kernels: StepKernels,
        steps: int,
        marked_columns: int = 0,
        picture: tuple[int, int] | None = None,
        graph: bool = True,
    ) -> None:
        self._engines, self._kernels, self.steps = dict(engines), kernels, steps
        self._marked_columns = marked_columns
        self._start = ("latent", "held", "marks") if marked_columns else ("latent", "held")
        self.device = engines[DENOISER].device
        self._loaded: Plan = ()
        self._memory: dict[str, Memory] = {}
        self._host: dict[str, Pinned] = {}
        shapes = self._shapes()
        _, frames, _, self._size, _ = shapes["frames"]
        self._all_modulations = shapes["all_modulations"]  # [steps, branches, V, D]
        self.picture = picture or (self._size, self._size)
        self._pictures = (frames, *self.picture, 3)
        with ExitStack() as made:
            for name, shape in shapes.items():
                self._memory[name] = self.device.allocate(4 * int(np.prod(shape)))
                made.callback(self._memory[name].free)
            self._memory["pictures"] = self.device.allocate(int(np.prod(self._pictures)))
            made.callback(self._memory["pictures"].free)
            of_host = {name: shapes[name] for name in ("features", "waveform", "timesteps", "table", *self._start)}
            for name, shape in (of_host | {"generated": shapes["latent"]}).items():
                self._host[name] = self.device.pinned(shape, "float32")
                made.callback(self._host[name].free)
            self._host["pictures"] = self.device.pinned(self._pictures, "uint8")
            made.callback(self._host["pictures"].free)
            self._made = made.pop_all()
        waveform = self._host["waveform"]
        self.replay = Replay(self.device, self.connect, self._enqueue, waveform, graph, self.shape_changes)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """``[1, C, H, W]``."""
        return self._host["latent"].array.shape

    def load(self, plan: Plan) -> None:
        """Bring the solver's table and the timesteps to the device; nothing is captured again for that.

        Raises :class:`~mdsgen.errors.KernelError` for a solver that the kernel does not know, and :class:`EngineError`
        for guidance where the plan has no unconditional branch.
        """
        if self._loaded == plan:
            return
        if self._branches == 1 and any(step.unconditional != NONE for step in plan):
            raise EngineError(f"{DENOISER}: the plan has no unconditional branch, so guidance must be 1")
        self._loaded = ()  # what fails half-way is brought there again
        self.put("table", coefficient_table(step.coefficients for step in plan))
        self.put("timesteps", timesteps_of(plan))
        self._loaded = plan

    def put(self, name: str, array: np.ndarray) -> None:
        """Bring what a clip is told to the device: ``"table"``, ``"timesteps"`` or ``"features"``."""
        self._host[name].array[...] = array
        self.upload(name)
        self.device.synchronize()

    def __call__(self, frames: np.ndarray, noise: np.ndarray, timings: Timings | None = None) -> np.ndarray:
        """``frames`` uint8 ``[F, H, W, 3]``, ``noise [1, C, H, W]`` -> waveform ``[samples]``, after :meth:`load`."""
        sound, _ = self.go_on(frames, noise, None, timings)
        return sound

    def go_on(
        self, frames: np.ndarray, noise: np.ndarray, known: Known | None, timings: Timings | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As a call, but going on from what is known, if anything is: the waveform, and the latent it was made of.

        The first call runs in stream order, the following ones are one launch each: see :class:`Replay`.
        """
        self.fill(frames, noise, known)
        self.replay(timings)
        latent, sound = self._host["generated"].array.copy(), self._host["waveform"].array[0].copy()
        check_finite(DENOISER, latent)
        check_finite(VOCODER, sound)
        return sound, latent

    def fill(self, frames: np.ndarray, noise: np.ndarray, known: Known | None = None) -> None:
        """Put them where the next run uploads them from."""
        if frames.shape != self._pictures:
            raise TensorError(f"expected frames {list(self._pictures)}, got {list(frames.shape)}")
        self._host["pictures"].array[...] = frames
        self.fill_start(noise, known)

    def fill_start(self, noise: np.ndarray, known: Known | None = None) -> None:
        """What the loop begins with alone: the noise, and what is known, after :meth:`load`."""
        start, held = self._host["latent"].array, self._host["held"].array
        start[...] = noise
        held[...] = 0.0 if known is None else held_columns(known, noise)
        if known is not None:
            hold(start, held, self._loaded[0].known)
        if self._marked_columns:
            marks = self._host["marks"].array
            marks[...] = 0.0 if known is None else column_marks(known, marks.shape[1])

    def close(self) -> None:
        """Give graph and buffers back, once nothing on the stream uses them. Closing twice is harmless."""
        with self._made:
            with suppress(EngineError):  # a lost device's stream is empty
                self.device.synchronize()
            self.replay.close()

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
        shapes["held"] = (3, *shapes["latent"])
        if self._marked_columns:
            shapes["marks"] = (self._marked_columns, shapes["all_modulations"][-1])
        if 4 * int(np.prod(shapes["all_modulations"][1:])) % ALIGNMENT:
            raise EngineError(f"{DENOISER}: a step's modulations {shapes['all_modulations'][1:]} are not aligned")
        return shapes

    def shape_changes(self) -> int:
        """How often an input of any network has changed its shape."""
        return sum(engine.shape_changes for engine in self._engines.values())

    @property
    def _branches(self) -> int:
        """What the denoiser computes of guidance: both branches, or the conditional one."""
        return self._memory["noise"].nbytes // self._memory["latent"].nbytes

    def connect(self) -> None:
        """Let every network read where the one before it wrote."""
        conditioning = self._engines[CONDITIONING]
        if any(isinstance(length, str) for spec in conditioning.inputs for length in spec.shape):
            conditioning.set_shape("timesteps", (self.steps,))
        for engine in self._engines.values():
            for spec in (*engine.inputs, *engine.outputs):
                if spec.name != "modulations":
                    engine.set_address(spec.name, self._memory[spec.name].address)
        conditioning.set_address("modulations", self._memory["all_modulations"].address)

    def upload(self, name: str) -> None:
        """Put a copy to the device on the stream."""
        self.device.upload(self._memory[name].address, self._host[name])

    def upload_start(self) -> None:
        """Put copies of all that the loop begins with to the device on the stream."""
        for name in self._start:
            self.upload(name)

    def download(self, target: Pinned, name: str) -> None:
        """Put a copy from the device on the stream."""
        self.device.download(target, self._memory[name].address)

    def enqueue_loop(self, mark: Mark = lambda stage: None) -> None:
        """Put conditioning and all steps on the stream: from features and noise to the latent."""
        self._engines[CONDITIONING].enqueue()
        if self._marked_columns:
            self._enqueue_marks()
        mark("conditioning")
        for step in range(self.steps):
            self._enqueue_step(step)
        mark("denoiser")

    def _enqueue(self, mark: Mark) -> None:
        """Put the whole clip on the stream."""
        self.upload("pictures")
        self.upload_start()
        mark("upload")
        count, height, width, _ = self._pictures
        pictures = RgbFrames(self._memory["pictures"].address, width, height, count)
        launch = prepare_frames_launch(pictures, self._memory["frames"].address, self._size)
        self._kernels.launch(launch, self.device.stream)
        mark("frames")
        self._engines[VIDEO_ENCODER].enqueue()
        mark("video encoder")
        self.enqueue_loop(mark)
        self._engines[LATENT_DECODER].enqueue()
        mark("latent decoder")
        self._engines[VOCODER].enqueue()
        mark("vocoder")
        self.download(self._host["generated"], "latent")
        self.download(self._host["waveform"], "waveform")
        mark("download")

    def _enqueue_marks(self) -> None:
        """What is known, marked in all steps' modulations where conditioning has written them."""
        steps, branches, rows, width = self._all_modulations
        arrays = MarkArrays(
            modulations=self._memory["all_modulations"].address,
            marks=self._memory["marks"].address,
            matrices=steps * branches,
            rows=rows,
            columns=self._marked_columns,
            width=width,
        )
        self._kernels.launch(add_marks_launch(arrays), self.device.stream)

    def _enqueue_step(self, step: int) -> None:
        """The denoiser, then guidance and solver, which leave the next latent in its place."""
        address = {name: memory.address for name, memory in self._memory.items()}
        modulations = self._memory["all_modulations"]
        self._engines[DENOISER].set_address(
            "modulations", modulations.address + step * (modulations.nbytes // self.steps)
        )
        self._engines[DENOISER].enqueue()
        latent_bytes = self._memory["latent"].nbytes
        arrays = StepArrays(
            latent=address["latent"],
            conditional=address["noise"],
            unconditional=address["noise"] + latent_bytes if self._branches == 2 else 0,
            clean=address["clean"],
            count=latent_bytes // 4,
            older=MOST_OLDER,  # for every solver; what has no weight is not looked at
            held=address["held"],
        )
        self._kernels.launch(guided_step_launch(arrays, address["table"], step), self.device.stream)
