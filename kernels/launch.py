"""How each kernel is launched: over which grid, with how much shared memory, with which arguments. No device needed."""

from __future__ import annotations

from dataclasses import dataclass

from mdsgen.errors import KernelError
from mdsgen.kernels.step import MOST_OLDER

# What the sources under cuda/ fix when they are compiled.
_STEP_TOGETHER = 8  # numbers per thread
_FRAME_ROWS = 4  # output rows per block

_STEP_THREADS = 64  # small blocks: a latent is small, and its few blocks should meet many multiprocessors
_FRAME_THREADS = 256
_MARK_THREADS = 256
_STAGED_BYTES = 12 << 10  # of input rows in shared memory, so that several blocks fit a multiprocessor
_SHARED_BYTES = 48 << 10  # what every architecture gives a block without being asked
_GRID_YZ = 65_535  # CUDA's limit of a grid's second and third side


@dataclass(frozen=True)
class Launch:
    """One launch of one kernel. Pointers are plain addresses; ``shared`` is in bytes."""

    source: str
    function: str
    grid: tuple[int, int, int]
    threads: int
    shared: int
    arguments: tuple[int | float, ...]


@dataclass(frozen=True)
class RgbFrames:
    """Packed 8-bit RGB pictures in device memory, ``[count, height, width, 3]`` without gaps."""

    pixels: int
    width: int
    height: int
    count: int = 1

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.count) < 1 or self.count > _GRID_YZ:
            raise KernelError(f"cannot prepare {self.count} pictures of {self.width}×{self.height}")
        if max(self.width, self.height) > _SHARED_BYTES // 3:
            raise KernelError(
                f"pictures of {self.width}×{self.height} are too large: at most {_SHARED_BYTES // 3} pixels either way"
            )


@dataclass(frozen=True)
class StepArrays:
    """Where one diffusion loop's numbers are, ``count`` float32 in each array.

    ``latent`` and ``clean [1 + older, count]`` (the previous clean estimate, then the older ones) are updated in place.
    Where ``unconditional`` is 0 the conditional estimate is taken as it is, without guidance. ``held [3, count]`` is
    what is known of the latent, as :func:`~mdsgen.kernels.hold` takes it; 0 where there is no such array.
    """

    latent: int
    conditional: int
    unconditional: int
    clean: int
    count: int
    older: int = 0
    held: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.older <= MOST_OLDER:
            raise KernelError(f"cannot step {self.count} numbers with {self.older} older clean estimates")


@dataclass(frozen=True)
class MarkArrays:
    """``modulations [matrices, rows, width]``, updated in place: a matrix for every step and branch; and ``marks
    [columns, width]`` for the last rows of each."""

    modulations: int
    marks: int
    matrices: int
    rows: int
    columns: int
    width: int

    def __post_init__(self) -> None:
        if not (0 < self.columns <= self.rows and self.width > 0 and 0 < self.matrices <= _GRID_YZ):
            raise KernelError(
                f"cannot mark {self.columns} of {self.rows} rows of {self.width} numbers in {self.matrices} matrices"
            )


def guided_step_launch(arrays: StepArrays, table: int, step: int) -> Launch:
    """One solver step: what :func:`mdsgen.kernels.guided_step` does, on addresses.

    ``table`` is a :func:`~mdsgen.kernels.coefficient_table` on the device, ``step`` a row of it.
    """
    if step < 0:
        raise KernelError(f"a step is a row of the table, from 0 on, not {step}")
    a = arrays
    return Launch(
        "step",
        "guided_step",
        grid=(_ceil(a.count, _STEP_TOGETHER * _STEP_THREADS), 1, 1),
        threads=_STEP_THREADS,
        shared=0,
        arguments=(a.latent, a.conditional, a.unconditional, a.clean, a.held, table, step, a.older, a.count),
    )


def add_marks_launch(arrays: MarkArrays) -> Launch:
    """All steps' marks: what :func:`mdsgen.kernels.add_marks` does, on addresses."""
    a = arrays
    return Launch(
        "marks",
        "add_marks",
        grid=(_ceil(a.columns * a.width, _MARK_THREADS), a.matrices, 1),
        threads=_MARK_THREADS,
        shared=0,
        arguments=(a.modulations, a.marks, a.rows, a.columns, a.width),
    )


def prepare_frames_launch(frames: RgbFrames, out: int, size: int) -> Launch:
    """Pictures to ``out [count, 3, size, size]``, float32, red, green and blue in 0..1."""
    if size < 1:
        raise KernelError(f"expected an output of one pixel or more, got {size}")
    if 2 * max(frames.width, size) ** 2 * 256 >= size << 31:  # the sum of a row's weighted bytes
        raise KernelError(f"cannot shrink {frames.width} pixels to {size} in one go: the sums would leave 32 bits")
    threads = min(_round_up(size, 32), _FRAME_THREADS)
    row = _round_up(3 * frames.width, 16)
    staged_rows = max(1, _STAGED_BYTES // row)
    return Launch(
        "frames",
        "prepare_rgb",
        grid=(_ceil(size, threads), _ceil(size, _FRAME_ROWS), frames.count),
        threads=threads,
        shared=staged_rows * row,
        arguments=(out, frames.pixels, frames.width, frames.height, size, staged_rows),
    )


def _ceil(number: int, unit: int) -> int:
    return -(-number // unit)


def _round_up(number: int, unit: int) -> int:
    return _ceil(number, unit) * unit
