"""What a pipeline is given to look at: a video file, or frames in memory, and which part of it."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from functools import partial

import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import FRAME_RATE
from mdsgen.media import VideoInfo, check_pictures, probe, sample_count, scaled_pictures, timed_pictures
from mdsgen.runtime.views import Pictures

VideoSource = str | os.PathLike[str] | VideoInfo | np.ndarray
"""A file, one that has been probed, or frames: uint8 ``[T, H, W, 3]`` RGB of any size, four per second."""


def open_source(video: VideoSource, start: float, duration: float | None) -> tuple[Pictures, int]:
    """The pictures to come, and how many samples of sound they ask for. Raises :class:`MediaError`."""
    for name, seconds in (("start", start), ("duration", duration)):
        if (seconds is not None or name == "start") and not _is_number(seconds):
            raise MediaError(f"{name} must be a number of seconds, not {seconds!r:.80}")
    if isinstance(video, np.ndarray):
        pictures, seconds = _open_array(video, start, duration)
    elif isinstance(video, VideoInfo | str | os.PathLike):
        info = video if isinstance(video, VideoInfo) else probe(video)
        pictures, seconds = timed_pictures(info, start=start), info.remaining(start, duration)
    else:
        raise MediaError(
            f"expected the path of a video, or frames as an array uint8 [frames, height, width, 3], got {_kind(video)}"
        )
    if not sample_count(seconds):
        raise MediaError(f"a duration of {seconds:g} s holds no sample of sound")
    return pictures, sample_count(seconds)


def _is_number(value: object) -> bool:
    """Infinite is one, too: a duration of it lasts to the end."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # whole numbers may be larger than any float
        return False


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _open_array(video: np.ndarray, start: float, duration: float | None) -> tuple[Pictures, float]:
    """As :func:`timed_pictures` of a file of these frames, and how many seconds they are for."""
    count = len(video) if video.ndim else 0
    length = count / FRAME_RATE
    if not 0 <= start < length or (duration is not None and not duration > 0):
        raise MediaError(f"start {start} s and duration {duration} s do not fit {count} frames, {length} s")
    seconds = length - start if duration is None else min(duration, length - start)
    check_pictures(video)
    return _timed(video, float(start)), seconds


def _timed(video: np.ndarray, start: float) -> Pictures:
    for index in range(int(start * FRAME_RATE), len(video)):
        yield Fraction(index, FRAME_RATE) - Fraction(start), partial(_scaled, video[index : index + 1])


def _scaled(picture: np.ndarray) -> np.ndarray:
    return next(scaled_pictures(picture))
