"""Writing sound: alone, or under the pictures of a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av import AudioFrame
from av.container import OutputContainer

from mdsgen.errors import MediaError, TensorError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.container import cause
from mdsgen.media.pictures import PictureCopy
from mdsgen.media.target import fresh_file
from mdsgen.media.video import VideoInfo, sample_count

AAC_BIT_RATE = 96_000
"""Bits per second: the most that AAC takes for one channel at 16 kHz."""


@dataclass(frozen=True)
class Format:
    """How a suffix is written: FFmpeg's muxer, its sound codec and sample format, whether pictures go in, options."""

    muxer: str
    codec: str
    samples: str
    pictures: bool
    options: dict[str, str] = field(default_factory=dict)


# MP4 counts the length of its tracks in milliseconds unless told otherwise: here, in samples.
_IN_SAMPLES = {"movie_timescale": str(SAMPLE_RATE)}

FORMATS = {
    ".wav": Format("wav", "pcm_s16le", "s16", pictures=False),
    ".flac": Format("flac", "flac", "s16", pictures=False),
    ".mp4": Format("mp4", "aac", "fltp", pictures=True, options=_IN_SAMPLES),
    ".mkv": Format("matroska", "aac", "fltp", pictures=True),
    ".mov": Format("mov", "aac", "fltp", pictures=True, options=_IN_SAMPLES),
}
"""What can be written, by the target's suffix."""


@contextmanager
def open_writer(
    target: str | os.PathLike[str], source: VideoInfo | None, *, start: float = 0.0, duration: float
) -> Iterator[Writer]:
    """Open ``target`` for ``duration`` seconds of sound, to be given to :meth:`Writer.write` block by block.

    The suffix chooses the format. ``.wav`` and ``.flac`` (16 bits) hold the sound alone. ``.mp4``, ``.mkv`` and
    ``.mov`` hold the whole picture stream of ``source``, copied untouched, and AAC sound of the same length: what is
    written lies at ``start`` on the picture's time line, with silence around it.

    The file appears under its name when the block ends well and every sample has been written; otherwise nothing is
    left. Raises :class:`MediaError`, before any work where it can, for an unknown suffix, a target that cannot be
    written, a codec that the container does not take, and a number of samples that was not promised.
    """
    target = Path(target)
    kind = _format(target, source)
    with fresh_file(target, source.path if source else None) as temporary:
        writer = Writer(target, temporary, kind, source if kind.pictures else None, start, sample_count(duration))
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


def _format(target: Path, source: VideoInfo | None) -> Format:
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise MediaError(f"cannot write {target}: expected a name that ends in {', '.join(FORMATS)}")
    if kind.pictures and source is None:
        raise MediaError(f"cannot write {target}: there are no pictures to put in; name a .wav or .flac file")
    return kind


class Writer:
    """A file in the making; :func:`open_writer` gives one.

    ``samples`` is the number of samples that :meth:`write` has to be given in all, ``written`` what it has been given.
    """

    def __init__(
        self, target: Path, file: Path, kind: Format, source: VideoInfo | None, start: float, samples: int
    ) -> None:
        self.samples, self.written = samples, 0
        self._target, self._kind = target, kind
        total = sample_count(source.duration) if source else samples
        if samples > total:
            raise MediaError(f"{samples} samples of sound are more than the {total} of {source and source.path}")
        self._before = min(sample_count(start), total - samples)
        self._after = total - samples - self._before
        self._encoded = 0  # samples, the silence around the sound included
        self._pictures: PictureCopy | None = None
        with _explained(target):
            self._container = av.open(f"file:{file}", "w", format=kind.muxer, container_options=kind.options)
        try:
            self._start(source)
        except BaseException:
            self.close()
            raise

    def write(self, block: np.ndarray) -> None:
        """Append float32 mono samples at 16 kHz, of any number; they are clipped to -1..1."""
        if block.ndim != 1 or block.dtype != np.float32:
            raise TensorError(f"expected sound as float32 [samples], got {block.dtype} {list(block.shape)}")
        if not np.isfinite(block).all():
            raise MediaError(f"cannot write {self._target}: the sound holds values that are not numbers")
        self.written += block.size
        if self.written > self.samples:
            raise MediaError(f"cannot write {self._target}: {self.written} samples, but {self.samples} were promised")
        with _explained(self._target):
            self._encode(block)

    def finish(self) -> None:
        """Write what remains of the pictures and the file's index. Raises where samples are missing."""
        if self.written != self.samples:
            raise MediaError(f"cannot write {self._target}: {self.written} samples, but {self.samples} were promised")
        with _explained(self._target):
            self._encode_silence(self._after)
            self._container.mux(self._sound.encode(None))
            if self._pictures:
                self._pictures.advance()
            self._container.close()

    def close(self) -> None:
        """Let go of all files. What has not been finished is of no use."""
        with suppress(av.error.FFmpegError, OSError):  # the reason is already on its way to the caller
            self._container.close()
        if self._pictures:
            self._pictures.close()

    def _start(self, source: VideoInfo | None) -> None:
        """Write the header, which shows whether the container takes the codec, and the silence before the sound."""
        if source:
            self._pictures = PictureCopy(source, self._container)
        self._sound = _sound_stream(self._container, self._kind)
        with _explained(self._target):
            try:
                self._container.start_encoding()
            except av.error.FFmpegError as error:
                if source is None or isinstance(error, OSError):
                    raise
                raise MediaError(self._refusal(source, error)) from error
            self._encode_silence(self._before)

    def _refusal(self, source: VideoInfo, error: BaseException) -> str:
        suffix = self._target.suffix
        other = ".wav or .flac file, without pictures" if suffix.lower() == ".mkv" else ".mkv file"
        fault = f"a {suffix} file cannot hold the {source.codec} pictures of {source.path}"
        return f"{fault} ({cause(error)}); name a {other}"

    def _encode_silence(self, samples: int) -> None:
        for first in range(0, samples, SAMPLE_RATE):
            self._encode(np.zeros(min(SAMPLE_RATE, samples - first), dtype=np.float32))

    def _encode(self, sound: np.ndarray) -> None:
        """Encode ``[samples]``, a second at a time, each followed by the pictures that belong to it."""
        for first in range(0, sound.size, SAMPLE_RATE):
            piece = _converted(sound[first : first + SAMPLE_RATE], self._kind.samples)  # [1, samples]
            frame = AudioFrame.from_ndarray(piece, format=self._kind.samples, layout="mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = self._encoded
            self._container.mux(self._sound.encode(frame))
            self._encoded += piece.size
            if self._pictures:
                self._pictures.advance(self._encoded / SAMPLE_RATE)


def _sound_stream(container: OutputContainer, kind: Format) -> Any:
    stream: Any = container.add_stream(kind.codec, rate=SAMPLE_RATE, layout="mono")
    if kind.codec == "aac":
        stream.bit_rate = AAC_BIT_RATE
    return stream


def _converted(sound: np.ndarray, samples: str) -> np.ndarray:
    """``[samples]`` as ``[1, samples]`` in FFmpeg's sample format ``s16`` or ``fltp``, clipped to -1..1."""
    clipped: np.ndarray = np.clip(sound, -1.0, 1.0)[np.newaxis]
    return np.rint(clipped * 32767).astype(np.int16) if samples == "s16" else clipped


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"cannot write {target}: {cause(error)}") from error
