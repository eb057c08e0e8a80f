"""How each kernel is launched: over which grid, with how much shared memory, with which arguments. No device needed."""

from __future__ import annotations

from dataclasses import dataclass

from mdsgen.errors import KernelError
from mdsgen.kernels.step import MOST_OLDER

# What the sources under cuda/ fix when they are compiled.
_STEP_TOGETHER = 8  # numbers per thread
_FRAME_ROWS = 4  # output rows per block
_HEAD_WIDTH, _TILE, _PADDED, _WARPS = 64, 64, 72, 4

_STEP_THREADS = 64  # small blocks: a latent is small, and its few blocks should meet many multiprocessors
_FRAME_THREADS = 256
_STAGED_BYTES = 12 << 10  # of input rows in shared memory, so that several blocks fit a multiprocessor
_SHARED_BYTES = 48 << 10  # what every architecture gives a block without being asked
_GRID_YZ = 65_535  # CUDA's limit of a grid's second and third side
_STANDARDS = (601, 709, 2020)


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
    """Packed 8-bit RGB pictures in device memory, ``[count, height, width, 3]``.

    ``pitch`` is the bytes from row to row, ``stride`` from picture to picture; by default nothing lies between them.
    """

    pixels: int
    width: int
    height: int
    count: int = 1
    pitch: int = 0
    stride: int = 0

    def __post_init__(self) -> None:
        _layout(self, "pitch", 3 * self.width, "stride", self.height)


@dataclass(frozen=True)
class Nv12Frames:
    """Pictures as hardware decoders leave them: a plane of luma, and one of chroma pairs, half as wide and high.

    ``standard`` is the ITU-R recommendation (601, 709 or 2020) that says what red is.
    """

    luma: int
    chroma: int
    width: int
    height: int
    count: int = 1
    luma_pitch: int = 0
    chroma_pitch: int = 0
    luma_stride: int = 0
    chroma_stride: int = 0
    standard: int = 709
    full_range: bool = False

    def __post_init__(self) -> None:
        _layout(self, "luma_pitch", self.width, "luma_stride", self.height)
        _layout(self, "chroma_pitch", 2 * ((self.width + 1) // 2), "chroma_stride", (self.height + 1) // 2)
        if self.standard not in _STANDARDS:
            raise KernelError(f"colour standard BT.{self.standard} is unknown: expected one of {_STANDARDS}")


@dataclass(frozen=True)
class StepArrays:
    """Where one diffusion loop's numbers are, ``count`` in each array; ``noise_dtype`` is that of the two estimates.

    ``latent`` and ``clean [1 + older, count]`` (the previous clean estimate, then the older ones) are float32 and
    updated in place. ``difference``, if not 0, is float32 as well: where ``unconditional`` is 0 that estimate is made
    from the conditional one and the difference that the last step with both of them left there. ``network_input``, if
    not 0, takes the new latent in float16.
    """

    latent: int
    conditional: int
    unconditional: int
    clean: int
    count: int
    noise_dtype: str
    older: int = 0
    difference: int = 0
    network_input: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.older <= MOST_OLDER:
            raise KernelError(f"cannot step {self.count} numbers with {self.older} older clean estimates")
        if not (self.unconditional or self.difference):
            raise KernelError("a step without an unconditional estimate needs the difference of an earlier step")


def guided_step_launch(arrays: StepArrays, table: int, step: int) -> Launch:
    """One solver step: what :func:`mdsgen.kernels.guided_step` does, on addresses.

    ``table`` is a :func:`~mdsgen.kernels.coefficient_table` on the device, ``step`` a row of it.
    """
    if step < 0:
        raise KernelError(f"a step is a row of the table, from 0 on, not {step}")
    a = arrays
    pointers = (a.latent, a.conditional, a.unconditional, a.clean, a.difference, a.network_input, table)
    return Launch(
        "step",
        f"guided_step_{_suffix(a.noise_dtype)}",
        grid=(_ceil(a.count, _STEP_TOGETHER * _STEP_THREADS), 1, 1),
        threads=_STEP_THREADS,
        shared=0,
        arguments=(*pointers, step, a.older, a.count),
    )


def prepare_frames_launch(frames: RgbFrames | Nv12Frames, out: int, size: int, dtype: str) -> Launch:
    """Pictures to ``out [count, 3, size, size]`` of ``dtype`` float16 or float32, red, green and blue in 0..1."""
    if size < 1:
        raise KernelError(f"expected an output of one pixel or more, got {size}")
    if 2 * max(frames.width, size) ** 2 * 256 >= size << 31:  # the sum of a row's weighted bytes
        raise KernelError(f"cannot shrink {frames.width} pixels to {size} in one go: the sums would leave 32 bits")
    threads = min(_round_up(size, 32), _FRAME_THREADS)
    if isinstance(frames, RgbFrames):
        row, name = 3 * frames.width, "rgb"
        planes: tuple[int, ...] = (frames.pixels,)
        layout: tuple[int, ...] = (frames.pitch, frames.stride)
    else:
        row, name = 2 * ((frames.width + 1) // 2), "nv12"
        planes = (frames.luma, frames.chroma)
        layout = (frames.luma_pitch, frames.chroma_pitch, frames.luma_stride, frames.chroma_stride)
        layout += (frames.standard, int(frames.full_range))
    row = _round_up(row, 16)
    staged_rows = max(1, _STAGED_BYTES // row)
    return Launch(
        "frames",
        f"prepare_{name}_{_suffix(dtype)}",
        grid=(_ceil(size, threads), _ceil(size, _FRAME_ROWS), frames.count),
        threads=threads,
        shared=staged_rows * row,
        arguments=(out, *planes, frames.width, frames.height, *layout, size, staged_rows),
    )


def attention_launch(
    *,
    out: int,
    query: int,
    key: int,
    value: int,
    table: int,
    batch: int,
    grid: tuple[int, int],
    heads: int,
    stride: int = 0,
    scale: float = _HEAD_WIDTH**-0.5,
) -> Launch:
    """Attention of ``heads`` heads of 64 channels over a token grid, float16, with the bias ``table`` in float32.

    ``query``, ``key`` and ``value`` are ``[batch, tokens, heads · 64]`` with ``stride`` numbers from token to token, by
    default ``heads · 64``: 3 times that where they are thirds of one tensor. ``out [batch, tokens, heads · 64]``.
    """
    rows, columns = grid
    width, tokens = heads * _HEAD_WIDTH, rows * columns
    stride = stride or width
    if min(rows, columns, heads, batch) < 1 or stride < width or max(heads, batch) > _GRID_YZ:
        raise KernelError(f"cannot attend with grid {grid}, {heads} heads, batch {batch} and stride {stride}")
    if stride % 8 or any(pointer % 16 for pointer in (out, query, key, value)):
        raise KernelError("attention reads 16 bytes at a time: pointers and stride must be multiples of that")
    shared = 2 * 2 * _TILE * _PADDED + 4 * _TILE + 4 * _most_biases(rows, columns)
    if shared > _SHARED_BYTES:
        raise KernelError(
            f"the biases of a {rows}×{columns} grid need {shared} bytes of shared memory, more than {_SHARED_BYTES}:"
            " use the bias as a tensor instead"
        )
    return Launch(
        "attention",
        "attention_f16",
        grid=(_ceil(tokens, _TILE), heads, batch),
        threads=32 * _WARPS,
        shared=shared,
        arguments=(out, query, key, value, table, stride, tokens, columns, scale),
    )


def _most_biases(rows: int, columns: int) -> int:
    """How many neighbours of the table the queries of one block meet, at most; see attention.cu."""
    tokens = rows * columns

    def code(token: int) -> int:
        return token + token // columns * (columns - 1)

    starts = range(0, tokens, _TILE)
    return max(code(min(start + _TILE, tokens) - 1) - code(start) for start in starts) + code(tokens - 1) + 1


def _layout(frames: RgbFrames | Nv12Frames, pitch: str, row: int, stride: str, rows: int) -> None:
    """Fill in the defaults, and refuse what the kernel could not do."""
    if min(frames.width, frames.height, frames.count) < 1 or frames.count > _GRID_YZ:
        raise KernelError(f"cannot prepare {frames.count} pictures of {frames.width}×{frames.height}")
    if _round_up(row, 16) > _SHARED_BYTES or frames.height > _SHARED_BYTES // 3:
        raise KernelError(
            f"pictures of {frames.width}×{frames.height} are too large: at most {_SHARED_BYTES // 3} pixels either way"
        )
    object.__setattr__(frames, pitch, getattr(frames, pitch) or row)
    object.__setattr__(frames, stride, getattr(frames, stride) or rows * getattr(frames, pitch))
    if getattr(frames, pitch) < row:
        raise KernelError(f"{pitch} must be at least a row's {row} bytes, not {getattr(frames, pitch)}")


def _suffix(dtype: str) -> str:
    suffixes = {"float16": "f16", "float32": "f32"}
    if dtype not in suffixes:
        raise KernelError(f"there is no kernel for {dtype}: expected float16 or float32")
    return suffixes[dtype]


def _ceil(number: int, unit: int) -> int:
    return -(-number // unit)


def _round_up(number: int, unit: int) -> int:
    return _ceil(number, unit) * unit
