"""What a pipeline is given to look at: a video file, or frames in memory, and which part of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from mdsgen.errors import MediaError, SettingsError
from mdsgen.geometry import Geometry
from mdsgen.media import Scaler, VideoInfo, check_pictures, probe, remaining, sample_count, timed_pictures
from mdsgen.runtime.views import Pictures
from mdsgen.values import check_frame_rate

VideoSource = str | os.PathLike[str] | VideoInfo | np.ndarray
"""A file, one that has been probed, or frames: uint8 ``[T, H, W, 3]`` RGB of any size."""


def open_source(
    video: VideoSource, geometry: Geometry, start: float, duration: float | None, frame_rate: float | None = None
) -> tuple[Pictures, int]:
    """The pictures to come, and how many samples of sound they ask for.

    ``frame_rate`` is how many frames of an array come in a second, None as many as the geometry has. Raises
    :class:`MediaError`, and :class:`SettingsError` for an impossible rate, or one where a file has its own.
    """
    if isinstance(video, np.ndarray):
        rate = Fraction(geometry.frame_rate) if frame_rate is None else _checked_rate(frame_rate)
        pictures, seconds = _open_array(video, rate, geometry.frame_size, start, duration)
    elif isinstance(video, VideoInfo | str | os.PathLike):
        if frame_rate is not None:
            raise SettingsError("frame_rate is for frames in an array: a file says itself when its pictures appear")
        info = video if isinstance(video, VideoInfo) else probe(video)
        pictures, seconds = timed_pictures(info, geometry.frame_size, start=start), info.remaining(start, duration)
    else:
        raise MediaError(
            f"expected the path of a video, or frames as an array uint8 [frames, height, width, 3], got {_kind(video)}"
        )
    if not sample_count(seconds):
        raise MediaError(f"a duration of {seconds:g} s holds no sample of sound")
    return pictures, sample_count(seconds)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _checked_rate(frame_rate: float) -> Fraction:
    check_frame_rate(frame_rate)
    return Fraction(float(frame_rate))


def _open_array(
    video: np.ndarray, rate: Fraction, size: int, start: float, duration: float | None
) -> tuple[Pictures, float]:
    """As :func:`timed_pictures` of a file of these frames, and how many seconds they are for."""
    count = len(video) if video.ndim else 0
    seconds = remaining(f"an array of {count} frames", float(count / rate), start, duration)
    check_pictures(video)
    return _timed(video, rate, Fraction(float(start)), Scaler(size).of_array), seconds


def _timed(video: np.ndarray, rate: Fraction, start: Fraction, scaled: Callable[[np.ndarray], np.ndarray]) -> Pictures:
    for index in range(int(start * rate), len(video)):
        yield index / rate - start, partial(scaled, video[index])
