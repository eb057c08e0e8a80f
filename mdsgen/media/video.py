"""What a video file holds, and how long it lasts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av.error

from mdsgen.errors import MediaError
from mdsgen.geometry import FRAME_RATE, SAMPLE_RATE
from mdsgen.media.container import cause, open_input, picture_stream, sound_stream
from mdsgen.media.orientation import display_matrix, rotation

VIDEO_SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"])
"""What is taken from a folder; a file that is named is tried whatever it is called."""


@dataclass(frozen=True)
class VideoInfo:
    """One video file, as :func:`probe` found it.

    ``width`` and ``height`` are those of the picture on the screen, after turning it clockwise by ``rotation``
    degrees. ``duration`` is in seconds, from the first presentation time stamp to the end of the last frame;
    ``start`` is that first time stamp on the file's own clock. All other times in this package count from it.
    """

    path: Path
    width: int
    height: int
    rotation: int
    duration: float
    start: float
    has_audio: bool
    codec: str

    def remaining(self, start: float = 0.0, duration: float | None = None) -> float:
        """Seconds that are there, of ``duration`` seconds (None: all) from ``start``.

        Raises :class:`MediaError` where ``start`` lies outside the video or ``duration`` is not positive.
        """
        if not 0 <= start < self.duration:
            raise MediaError(f"start {start:g} s lies outside {self.path}, which lasts {self.duration:.3f} s")
        if duration is not None and not duration > 0:
            raise MediaError(f"a duration must be positive, not {duration:g} s")
        rest = self.duration - start
        return rest if duration is None else min(duration, rest)


def frame_count(duration: float) -> int:
    """Frames of a video of ``duration`` seconds at :data:`FRAME_RATE`: rounded to nearest, at least one.

    This is what FFmpeg's fps filter makes of it: 8.16 s are 33 frames, the last of which stands for 0.16 s.
    """
    return max(1, math.floor(duration * FRAME_RATE + 0.5))


def sample_count(duration: float) -> int:
    """Samples of ``duration`` seconds of sound at :data:`SAMPLE_RATE`."""
    return round(duration * SAMPLE_RATE)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video without decoding more than its first frame; every packet's time stamp is read.

    Raises :class:`MediaError` for what is missing, truncated, not a video, without pictures, of a codec that cannot be
    decoded, or shorter than two frames.
    """
    path = Path(path)
    with open_input(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise MediaError(f"{path} holds no moving pictures: expected a video")
        if stream.codec_context is None:
            raise MediaError(f"{path}: no decoder for its picture is installed")
        try:
            timeline, frame = _scan(container, stream)
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(f"reading {path} failed: {cause(error)}") from error
        if frame is None:
            raise MediaError(f"{path} holds no picture that can be decoded ({stream.codec_context.name})")
        if timeline.packets < 2 or timeline.end <= timeline.first:
            raise MediaError(f"{path} holds a single frame: expected a video of two frames or more")
        turn = rotation(display_matrix(frame))
        width, height = (frame.width, frame.height) if turn % 180 == 0 else (frame.height, frame.width)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            rotation=turn,
            duration=float((timeline.end - timeline.first) * stream.time_base),
            start=float(timeline.first * stream.time_base),
            has_audio=sound_stream(container) is not None,
            codec=_codec_name(stream.codec_context.codec),
        )


def _codec_name(codec: Any) -> str:
    return str(getattr(codec, "canonical_name", codec.name))  # PyAV 14 knows only the decoder's: "libdav1d"


class _Timeline:
    """First time stamp, end of the last frame and number of packets, in a stream's time base."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.packets = 0
        self.first = 0
        self.last = 0
        self.end = 0

    def add(self, packet: Any) -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.is_discard:  # an edit list cut it away
            return
        if not self.packets or time < self.first:
            self.first = time
        if not self.packets or time >= self.last:
            self.last = time
            self.end = time + (packet.duration or self.interval)
        self.packets += 1


def _scan(container: Any, stream: Any) -> tuple[_Timeline, Any]:
    """The timeline of all packets, and the first frame (None where nothing could be decoded)."""
    rate = stream.average_rate or stream.guessed_rate
    timeline = _Timeline(round(1 / (rate * stream.time_base)) if rate else 0)
    frame = None
    for packet in container.demux(stream):
        if packet.size:
            timeline.add(packet)
        if frame is None:
            frame = next(iter(_decoded(packet)), None)
    return timeline, frame


def _decoded(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.InvalidDataError:  # the next one may be whole
        return []
