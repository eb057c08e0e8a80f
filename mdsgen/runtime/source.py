"""What a pipeline is given to look at: a video file, or frames in memory, and which part of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from numbers import Real

import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import FRAME_RATE
from mdsgen.media import VideoInfo, frame_count, probe, read_pictures, sample_count, scaled_pictures

VideoSource = str | os.PathLike[str] | VideoInfo | np.ndarray
"""A file, one that has been probed, or frames: uint8 ``[T, H, W, 3]`` RGB of any size, four per second."""


def open_source(video: VideoSource, start: float, duration: float | None) -> tuple[Iterator[np.ndarray], int]:
    """The frames to come and how many samples of sound they ask for. Raises :class:`MediaError`."""
    for name, seconds in (("start", start), ("duration", duration)):
        if (seconds is not None or name == "start") and not _is_number(seconds):
            raise MediaError(f"{name} must be a number of seconds, not {seconds!r:.80}")
    if isinstance(video, np.ndarray):
        frames, seconds = _open_array(video, start, duration)
    elif isinstance(video, VideoInfo | str | os.PathLike):
        info = video if isinstance(video, VideoInfo) else probe(video)
        frames, seconds = read_pictures(info, start=start, duration=duration), info.remaining(start, duration)
    else:
        raise MediaError(
            f"expected the path of a video, or frames as an array uint8 [frames, height, width, 3], got {_kind(video)}"
        )
    if not sample_count(seconds):
        raise MediaError(f"a duration of {seconds:g} s holds no sample of sound")
    return frames, sample_count(seconds)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _open_array(video: np.ndarray, start: float, duration: float | None) -> tuple[Iterator[np.ndarray], float]:
    """The frames that :func:`read_pictures` would choose from a file of these, and how many seconds they are for."""
    count = len(video) if video.ndim else 0
    length = count / FRAME_RATE
    if not 0 <= start < length or (duration is not None and not duration > 0):
        raise MediaError(f"start {start} s and duration {duration} s do not fit {count} frames, {length} s")
    seconds = length - start if duration is None else min(duration, length - start)
    first = min(math.ceil(start * FRAME_RATE - 0.5), count - 1)
    return scaled_pictures(video[first : first + frame_count(seconds)]), seconds
