"""Video frames as a video encoder wants them: so many per second, squares of one size, red, green and blue in 0..1.

The release samples with FFmpeg's fps filter and resizes to 224×224 with Pillow's antialiased bilinear filter. The same
frames are chosen here by their time stamps, and only those are converted, by FFmpeg's scaler with the same triangular
kernel. Smaller pictures are for encoders of this project, which are trained on averages of areas: so are they.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial

import numpy as np
from av import VideoFrame
from av.filter import Graph

from mdsgen.errors import MediaError, TensorError
from mdsgen.media.container import decode, picture_stream
from mdsgen.media.orientation import UPRIGHT, display_matrix, upright
from mdsgen.media.video import VideoInfo, frame_count, probe

_TRIANGULAR = 224
"""Pixels from which on a frame is for an encoder that was trained on bilinear resizing; a smaller one is averaged."""


def read_pictures(
    source: VideoInfo | str | os.PathLike[str],
    frame_rate: float,
    size: int,
    *,
    start: float = 0.0,
    duration: float | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of ``duration`` seconds of a video from ``start`` on, one by one, in bounded memory.

    Each is uint8 ``[size, size, 3]`` RGB, upright, and may be yielded again: it is read-only. Frame ``n`` is the
    picture on the screen at ``start + (n + 1/2) / frame_rate`` seconds after the video's first time stamp: the last one
    whose time, rounded to whole frames, is not after ``n``. There are :func:`frame_count` of them; a frame that lasts
    longer than ``1 / frame_rate`` seconds is repeated, and the last one until the end.
    """
    info = source if isinstance(source, VideoInfo) else probe(source)
    count = frame_count(info.remaining(start, duration), frame_rate)
    return _sampled(timed_pictures(info, size, start=start), Fraction(frame_rate), count)


def read_frames(
    source: VideoInfo | str | os.PathLike[str],
    frame_rate: float,
    size: int,
    *,
    start: float = 0.0,
    duration: float | None = None,
) -> Iterator[np.ndarray]:
    """As :func:`read_pictures`, but as the video encoder takes them: float32 ``[3, size, size]`` in 0..1."""
    return _as_planes(read_pictures(source, frame_rate, size, start=start, duration=duration))


def prepare_frames(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames in memory, uint8 ``[frames, height, width, 3]`` RGB, as float32 ``[frames, 3, size, size]`` in 0..1."""
    pictures = scaled_pictures(frames, size)
    prepared = np.empty((len(frames), 3, size, size), dtype=np.float32)
    for picture, planes in zip(pictures, prepared, strict=True):
        _to_planes(picture, planes)
    return prepared


def scaled_pictures(frames: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Frames in memory, uint8 ``[frames, height, width, 3]`` RGB, one by one as uint8 ``[size, size, 3]``."""
    check_pictures(frames)
    return map(Scaler(size).of_array, frames)


def check_pictures(frames: np.ndarray) -> None:
    """Raise :class:`TensorError` for what is not uint8 ``[frames, height, width, 3]``."""
    if not isinstance(frames, np.ndarray):
        raise TensorError(f"expected frames as uint8 [frames, height, width, 3], got {type(frames).__name__}")
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise TensorError(
            f"expected frames as uint8 [frames, height, width, 3], got {frames.dtype} {list(frames.shape)}"
        )


def check_picture(picture: np.ndarray) -> None:
    """Raise :class:`TensorError` for what is not uint8 ``[height, width, 3]``."""
    if not isinstance(picture, np.ndarray):
        raise TensorError(f"expected a picture as uint8 [height, width, 3], got {type(picture).__name__}")
    if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise TensorError(f"expected a picture as uint8 [height, width, 3], got {picture.dtype} {list(picture.shape)}")


def averaged(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames averaged down: uint8 ``[frames, k·size, k·size, 3]`` -> ``[frames, size, size, 3]``.

    Raises :class:`TensorError` for other sizes.
    """
    factor, rest = divmod(frames.shape[1], size)
    if rest or frames.shape[1] != frames.shape[2]:
        raise TensorError(f"expected squares, a multiple of {size} pixels wide, got {list(frames.shape)}")
    blocks = frames.reshape(-1, size, factor, size, factor, 3)
    means: np.ndarray = np.rint(blocks.mean(axis=(2, 4), dtype=np.float32))
    return means.astype(np.uint8)


class Scaler:
    """Turns decoded frames of any size and pixel format into uint8 ``[size, size, 3]`` RGB, upright.

    Size, format and rotation may change within a stream; a mirror that comes or goes without a turn is not noticed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._graph: Graph | None = None
        self._layout: tuple[object, ...] = ()
        self._matrix = UPRIGHT

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        colours = (frame.format.name, frame.colorspace, frame.color_range)
        layout = (frame.width, frame.height, frame.rotation, *colours)
        if self._graph is None or layout != self._layout:
            # Before PyAV 19 a picture whose matrix has been read waits for the garbage collector: 12 MB each in 4K.
            self._graph, self._layout, self._matrix = self._made(frame), layout, display_matrix(frame)
        self._graph.vpush(frame)
        scaled = self._graph.vpull().to_ndarray()  # [size, size, 3]
        return np.ascontiguousarray(upright(scaled, self._matrix))

    def of_array(self, picture: np.ndarray) -> np.ndarray:
        """As a call, of an upright picture, uint8 ``[height, width, 3]`` RGB: itself where it has the size."""
        if picture.shape[:2] == (self._size, self._size):
            return picture
        return self(VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))

    def _made(self, frame: VideoFrame) -> Graph:
        # Without the flags the scaler halves the chroma resolution of its output: 36 dB instead of 44 dB on real clips.
        kernel = "area" if self._size < _TRIANGULAR else "bilinear"
        wanted = f"{self._size}:{self._size}:flags={kernel}+accurate_rnd+full_chroma_int+full_chroma_inp"
        return _scaling_graph(frame, wanted)


def _scaling_graph(frame: VideoFrame, wanted: str) -> Graph:
    graph = Graph()
    if hasattr(graph, "threads"):  # PyAV 14 has no such word
        # A forked process has no threads, and to end a graph that waits for them would be a crash. One is as fast here.
        graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    scale, rgb, sink = graph.add("scale", wanted), graph.add("format", "rgb24"), graph.add("buffersink")
    graph.link_nodes(source, scale, rgb, sink).configure()
    return graph


def timed_pictures(
    source: VideoInfo | str | os.PathLike[str], size: int, *, start: float = 0.0
) -> Iterator[tuple[Fraction, Callable[[], np.ndarray]]]:
    """Every frame of a video in order, as the seconds after ``start`` at which it appears and what gives its picture.

    That is uint8 ``[size, size, 3]`` RGB, upright and read-only; a frame that nobody asks for is not converted. The
    first may have appeared before ``start``. Raises :class:`MediaError` where no frame can be decoded.
    """
    info = source if isinstance(source, VideoInfo) else probe(source)
    origin = Fraction(info.start).limit_denominator(1_000_000) + Fraction(start)
    since = float(origin) if start else None
    scaler, frame = Scaler(size), None
    for frame in decode(info.path, picture_stream, since, info.clock):
        yield frame.pts * frame.time_base - origin, partial(_picture_of, scaler, frame)
    if frame is None:
        raise MediaError(f"{info.path} holds no picture that can be decoded ({info.codec})")


def _picture_of(scaler: Scaler, frame: VideoFrame) -> np.ndarray:
    return _read_only(scaler(frame))


def _sampled(
    pictures: Iterable[tuple[Fraction, Callable[[], np.ndarray]]], frame_rate: Fraction, count: int
) -> Iterator[np.ndarray]:
    """FFmpeg's fps filter: a frame stays until a later one takes its place on the grid of the rate."""
    shown, picture, index = None, None, 0
    for time, following in pictures:
        slot = int((time * frame_rate + Fraction(1, 2)) // 1)
        while index < min(slot, count):
            if picture is None:
                picture = (shown or following)()
            yield picture
            index += 1
        if index == count:
            return
        shown, picture = following, None
    assert shown is not None  # a video without any frame has been refused
    picture = shown()
    for _ in range(index, count):
        yield picture


def _as_planes(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """A picture that is repeated is the same array again."""
    before, planes = None, np.empty(0)
    for picture in pictures:
        if picture is not before:
            before, planes = picture, np.empty((3, *picture.shape[:2]), np.float32)
            _read_only(_to_planes(picture, planes))
        yield planes


def _to_planes(picture: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``picture [H, W, 3]`` to ``out [3, H, W]`` in 0..1."""
    np.divide(picture.transpose(2, 0, 1), np.float32(255), out=out, dtype=np.float32)
    return out


def _read_only(picture: np.ndarray) -> np.ndarray:
    picture.setflags(write=False)
    return picture
