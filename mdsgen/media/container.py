"""Opening a file with PyAV, choosing its streams, and decoding one of them from a given time on."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from mdsgen.errors import MdsgenError, MediaError
from mdsgen.media.clock import Clock, dated, follow
from mdsgen.media.truncation import refuse_truncated
from mdsgen.paths import checked_path

SEEK_MARGIN = 1.0
"""Seconds by which a seek aims before its goal: decoders need a run-up, and indices are sorted by decoding time."""

_NOT_MOVING = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_NOT_VIDEO = frozenset({"tty", "lrc"})
"""Demuxers that take a text file for a film."""

_REFERRING = frozenset({"concat", "dash", "hls", "imf", "mlv", "rtp", "rtsp", "sdp", "vobsub", "webm_dash_manifest"})
"""Demuxers of files that name other files, or addresses: a film is read from nothing but its own file."""

_OPTIONS = {"fflags": "+genpts", "format_whitelist": ",".join(sorted(av.formats_available - _REFERRING))}


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open a local file for demuxing, and read it in the block.

    Raises :class:`MediaError` where it is missing, cut off or not a media file, and for whatever a library raises in
    the block.
    """
    path = checked_path(path, MediaError, "a video")
    _check(path)
    refuse_truncated(path)
    with reading(path, "cannot read {} as a video"):
        container = _opened(path)
    with container, reading(path):
        if container.format.name in _NOT_VIDEO:
            raise MediaError(f"{path} is a text file: expected a video file")
        yield container


@contextmanager
def reading(path: Path | str, fault: str = "reading {} failed") -> Iterator[None]:
    """Turn whatever a library raises while ``path`` is read into one :class:`MediaError`.

    Of damaged files PyAV raises more than its own errors: ``IndexError``, ``TypeError``, ``ValueError``.
    """
    try:
        yield
    except MdsgenError:
        raise
    except Exception as error:
        raise MediaError(f"{fault.format(path)}: {cause(error)}") from error


@contextmanager
def muxing(target: Path | str) -> Iterator[None]:
    """Turn what a library raises while ``target`` is written into one :class:`MediaError`."""
    try:
        yield
    except MdsgenError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"cannot write {target}: {cause(error)}") from error


def _opened(path: Path) -> InputContainer:
    # "file:" keeps a colon in the name from being read as a protocol; time stamps that a container leaves out (AVI with
    # B-frames) are generated. Metadata in an odd encoding stop PyAV before 19 unless told, and leave the file open.
    # The options are the container's alone: PyAV 14 crashes over those of streams that appear late (FLV, MPEG-PS).
    opened: Any = av.open
    container: InputContainer = opened(f"file:{path}", container_options=_OPTIONS, **_METADATA)
    return container


def _check(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(f"no such file: {path}") from error
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise MediaError(f"{path} is {what}: expected a video file")


def picture_stream(container: InputContainer) -> Any:
    """The stream of moving pictures, or None: cover art in a music file is not one.

    Of several it is one of more than a single frame, with a decoder, marked as the default, not much shorter than the
    longest, and the largest of these; then the first.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & _NOT_MOVING]
    longest = max((_seconds(stream) for stream in moving), default=0.0)
    return max(moving, key=lambda stream: _rank(stream, longest), default=None)


def _rank(stream: Any, longest: float) -> tuple[bool, bool, bool, bool, int]:
    decoder = stream.codec_context
    return (
        stream.frames != 1,
        decoder is not None,
        bool(stream.disposition & Disposition.default),
        _seconds(stream) >= longest / 2,
        decoder.width * decoder.height if decoder is not None else 0,
    )


def _seconds(stream: Any) -> float:
    """How long a stream is by its header, or by the tag that Matroska's writers leave; 0 where neither says."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        return 0.0


def sound_stream(container: InputContainer) -> Any:
    """The first sound stream that can be decoded, or None."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def decode(
    path: Path, choose: Callable[[InputContainer], Any], since: float | None = None, clock: Clock | None = None
) -> Iterator[Any]:
    """The frames of the stream that ``choose`` picks, in order of presentation, one at a time.

    With ``since`` (seconds, on the file's own clock) decoding begins shortly before that time; where the file cannot
    seek there, or its ``clock`` has to be mended on the way, it begins at the beginning. A damaged packet is passed
    over, as players do.
    """
    plain = clock is None or clock.plain
    if since is not None and plain:
        with open_input(path) as container:
            stream = choose(container)
            frames = _sought(container, stream, since)
            first = next(frames, None)
            if first is not None and first.time <= since:
                yield first
                yield from frames
                return
    with open_input(path) as container:
        stream = choose(container)
        packets = container.demux(stream)
        if clock is not None and not plain:
            packets = dated(packets, stream, clock) if stream.type == "video" else follow(packets, clock)
        yield from _decoded(packets, stream)


def _sought(container: InputContainer, stream: Any, since: float) -> Iterator[Any]:
    try:
        container.seek(round((since - SEEK_MARGIN) / stream.time_base), stream=stream)
    except (av.error.FFmpegError, OSError):
        return
    yield from _decoded(container.demux(stream), stream)


def _decoded(packets: Iterable[Any], stream: Any) -> Iterator[Any]:
    stream.thread_type = "AUTO"
    for packet in packets:
        yield from (frame for frame in frames_of(packet) if frame.pts is not None)


def frames_of(packet: Any) -> list[Any]:
    """What a decoder gives for a packet; nothing for one that is damaged: the next one may be whole."""
    try:
        return list(packet.decode())
    except av.error.InvalidDataError:
        return []


def cause(error: BaseException) -> str:
    """What went wrong, in one line: FFmpeg's own remark where it made one, or the system's."""
    log = getattr(error, "log", None)
    if log:
        return str(log[2].strip().splitlines()[0])
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
