"""What a video file holds, and how long it lasts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.format import Flags

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.clock import PLAUSIBLE_GAP, WITNESSED_GAP, Clock, ClockScan
from mdsgen.media.container import frames_of, open_input, picture_stream, sound_stream
from mdsgen.media.orientation import display_matrix, rotation
from mdsgen.paths import checked_path
from mdsgen.values import is_number


@dataclass(frozen=True)
class VideoInfo:
    """One video file, as :func:`probe` found it.

    ``width`` and ``height`` are those of the picture on the screen, after turning it clockwise by ``rotation``
    degrees. ``duration`` is in seconds, from the first presentation time stamp to the end of the last frame;
    ``start`` is that first time stamp on the file's own clock. All other times in this package count from it. Where the
    clock cannot be believed as it stands, both are what :mod:`mdsgen.media.clock` makes of it; ``clock`` says how.
    ``reordered`` says that pictures are shown in another order than they are decoded in (B-frames).
    """

    path: Path
    width: int
    height: int
    rotation: int
    duration: float
    start: float
    has_audio: bool
    codec: str
    reordered: bool
    clock: Clock = field(repr=False)

    def remaining(self, start: float = 0.0, duration: float | None = None) -> float:
        """:func:`remaining` of the video."""
        return remaining(str(self.path), self.duration, start, duration)


def remaining(film: str, length: float, start: float, duration: float | None) -> float:
    """Seconds that are there of a film so long, of ``duration`` seconds (None: all) from ``start``.

    Raises :class:`MediaError`, which names the ``film``, where ``start`` lies outside of it, ``duration`` is not
    positive, or either is no number.
    """
    for name, seconds in (("start", start), ("duration", 1.0 if duration is None else duration)):
        if not is_number(seconds):
            raise MediaError(f"{name} must be a number of seconds, not {seconds!r:.80}")
    if not 0 <= start < length:
        raise MediaError(f"start {start:g} s lies outside {film}, which lasts {length:.3f} s")
    if duration is not None and not duration > 0:
        raise MediaError(f"a duration must be positive, not {duration:g} s")
    return length - start if duration is None else min(duration, length - start)


def frame_count(duration: float, frame_rate: float) -> int:
    """Frames of a video of ``duration`` seconds at a rate: rounded to nearest, at least one.

    This is what FFmpeg's fps filter makes of it: 8.16 s at 4/s are 33 frames, the last of which stands for 0.16 s.
    """
    return max(1, math.floor(duration * frame_rate + 0.5))


def sample_count(duration: float) -> int:
    """Samples of ``duration`` seconds of sound at :data:`SAMPLE_RATE`."""
    return round(duration * SAMPLE_RATE)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video without decoding more than its first frame; every packet's time stamp is read.

    Raises :class:`MediaError` for what is missing, truncated, not a video, without pictures, of a codec that cannot be
    decoded, or shorter than two frames.
    """
    path = checked_path(path, MediaError, "a video")
    with open_input(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise MediaError(f"{path} holds no moving pictures: expected a video")
        if stream.codec_context is None:
            raise MediaError(f"{path}: no decoder for its picture is installed")
        scan, frame = _scan(container, stream)
        if scan.leapt and not _jumps(container):
            longer = _with_long_gaps(path)
            if _is_witnessed(container, path, longer.timeline.duration):
                scan = longer
        timeline = scan.timeline
        if frame is None:
            raise MediaError(f"{path} holds no picture that can be decoded ({stream.codec_context.name})")
        if timeline.packets < 2 or not timeline.duration > 0:
            raise MediaError(f"{path} holds a single frame: expected a video of two frames or more")
        turn = rotation(display_matrix(frame))
        width, height = (frame.width, frame.height) if turn % 180 == 0 else (frame.height, frame.width)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            rotation=turn,
            duration=timeline.duration,
            start=timeline.start,
            has_audio=sound_stream(container) is not None,
            codec=_codec_name(stream.codec_context.codec),
            reordered=timeline.reordered,
            clock=scan.clock,
        )


def _codec_name(codec: Any) -> str:
    return str(getattr(codec, "canonical_name", codec.name))  # PyAV 14 knows only the decoder's: "libdav1d"


def _scan(container: Any, stream: Any) -> tuple[ClockScan, Any]:
    """What all packets say of the clock, and the first frame (None where nothing could be decoded)."""
    scan, frame = ClockScan(stream, PLAUSIBLE_GAP), None
    for packet in container.demux(stream):
        if packet.size:
            scan.add(packet)
        if frame is None:
            frame = next(iter(frames_of(packet)), None)
    scan.finish()
    return scan, frame


def _with_long_gaps(path: Path) -> ClockScan:
    with open_input(path) as container:
        stream = picture_stream(container)
        scan = ClockScan(stream, WITNESSED_GAP)
        for packet in container.demux(stream):
            if packet.size:
                scan.add(packet)
    scan.finish()
    return scan


def _jumps(container: Any) -> bool:
    """Whether it is a transport stream: their clocks do jump, and their length is not written but read off them."""
    return bool(container.format.flags & Flags.ts_discont.value)


def _is_witnessed(container: Any, path: Path, seconds: float) -> bool:
    """Whether something besides the pictures' time stamps is as long as they: the header, or the sound's packets."""
    header = container.duration and container.duration / av.time_base
    return bool(header and abs(header - seconds) <= PLAUSIBLE_GAP) or _sound_seconds(path) >= seconds - PLAUSIBLE_GAP


def _sound_seconds(path: Path) -> float:
    """How much sound there is, by what each packet holds."""
    with open_input(path) as container:
        stream = sound_stream(container)
        if stream is None:
            return 0.0
        return float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)
