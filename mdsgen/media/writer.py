"""Writing sound: alone, or under the pictures of a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import av.error
import numpy as np

from mdsgen.errors import MediaError, TensorError
from mdsgen.media.choice import film_suffix
from mdsgen.media.container import muxing
from mdsgen.media.copying import FilmCopy
from mdsgen.media.encoder import GENERATED, SoundEncoder, SoundShape
from mdsgen.media.formats import Format, format_of
from mdsgen.media.metadata import missing
from mdsgen.media.mixing import Mixer, samples_at
from mdsgen.media.output import DEFAULT_OUTPUT, Output
from mdsgen.media.reread import Expected, codec_name, reread
from mdsgen.media.target import fresh_file
from mdsgen.media.video import VideoInfo, sample_count
from mdsgen.paths import checked_path

GENERATED_TITLE = "mdsgen"
"""What the generated sound is called in a file that holds the original, too."""


@contextmanager
def open_writer(
    target: str | os.PathLike[str],
    source: VideoInfo | None,
    *,
    start: float = 0.0,
    duration: float,
    output: Output = DEFAULT_OUTPUT,
) -> Iterator[Writer]:
    """Open ``target`` for ``duration`` seconds of sound, to be given to :meth:`Writer.write` block by block.

    The suffix chooses the format (:data:`mdsgen.media.FORMATS`). Some hold the sound alone. The others hold the whole
    picture stream of ``source``, copied untouched, with what belongs to it, and sound of the same length: what is
    written lies at ``start`` on the picture's time line, with silence around it. ``output`` says what becomes of the
    sound that ``source`` has.

    The file is read again when the block ends well and every sample has been written, and only then appears under its
    name; otherwise nothing is left. Raises :class:`MediaError`, before any work where it can, for an unknown suffix, a
    target that cannot be written, a codec that the container does not take, a number of samples that was not promised,
    and a file that is not what was written.
    """
    target = checked_path(target, MediaError, "a result")
    kind = _format(target, source)
    output.check(target)
    with fresh_file(target, source.path if source else None) as temporary:
        writer = Writer(target, temporary, kind, source, start, sample_count(duration), output)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


def _format(target: Path, source: VideoInfo | None) -> Format:
    kind = format_of(target)
    if kind.pictures and source is None:
        raise MediaError(f"cannot write {target}: there are no pictures to put in; name a .wav or .flac file")
    return kind


class Writer:
    """A file in the making; :func:`open_writer` gives one.

    ``samples`` is the number of samples that :meth:`write` has to be given in all, ``written`` what it has been given.
    ``notes`` says, when all is finished, what the file could not hold, in whole lines.
    """

    def __init__(
        self,
        target: Path,
        file: Path,
        kind: Format,
        source: VideoInfo | None,
        start: float,
        samples: int,
        output: Output,
    ) -> None:
        self.samples, self.written = samples, 0
        self.notes: list[str] = []
        self._target, self._file, self._kind, self._source = target, file, kind, source
        total = sample_count(source.duration) if source and kind.pictures else samples
        if samples > total:
            raise MediaError(f"{samples} samples of sound are more than the {total} of {source and source.path}")
        before = min(sample_count(start), total - samples)
        self._mixer = self._make_mixer(source, start, output)
        shape = self._mixer.shape if self._mixer else GENERATED
        self._before = samples_at(before, shape.rate)
        self._total = samples_at(total, shape.rate)
        self._film: FilmCopy | None = None
        with muxing(target):
            self._container = av.open(f"file:{file}", "w", format=kind.muxer, container_options=kind.options)
        try:
            self._start(source if kind.pictures else None, shape, output)
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
        with muxing(self._target):
            for sound in self._mixer.blend(block) if self._mixer else [block[np.newaxis]]:
                self._encode(sound)

    def finish(self) -> None:
        """Write what remains of the film and the file's index, and read the file again."""
        if self.written != self.samples:
            raise MediaError(f"cannot write {self._target}: {self.written} samples, but {self.samples} were promised")
        with muxing(self._target):
            for sound in self._mixer.rest() if self._mixer else []:
                self._encode(sound)
            self._encode_silence(self._total - self._sound.encoded)
            self._container.mux(self._sound.flush())
            if self._film:
                self._film.advance()
            self._container.close()
        self._reread()

    def close(self) -> None:
        """Let go of all files. What has not been finished is of no use."""
        with suppress(av.error.FFmpegError, OSError):  # the reason is already on its way to the caller
            self._container.close()
        if self._film:
            self._film.close()

    def _make_mixer(self, source: VideoInfo | None, start: float, output: Output) -> Mixer | None:
        """What mixes, where there is something to mix; a note where there is not."""
        if source is None or not (output.mix or output.keep_original):
            return None
        if not source.has_audio:
            self.notes.append(f"{source.path} has no sound of its own: {self._target} holds the generated sound alone")
            return None
        return Mixer(source, start, self.samples, output.mix) if output.mix else None

    def _start(self, source: VideoInfo | None, shape: SoundShape, output: Output) -> None:
        """Write the header, of what the container can hold, and the silence before the sound."""
        if source:
            self._film = FilmCopy(source, self._container, self._kind, sound=output.keep_original)
            refusal = self._film.refusal()
            if refusal is not None:
                fault = f"a {self._target.suffix} file cannot hold {refusal}"
                raise MediaError(f"{fault}; {_advice(self._target, source)}")
        self._sound = SoundEncoder(self._container, self._kind.sound, shape)
        if any(copy.template.type == "audio" for copy in (self._film.copies if self._film else [])):
            self._sound.stream.metadata["title"] = GENERATED_TITLE
        with muxing(self._target):
            self._container.start_encoding()
            self._encode_silence(self._before)

    def _encode_silence(self, samples: int) -> None:
        shape = self._sound.shape
        for first in range(0, samples, shape.rate):
            self._encode(np.zeros((shape.channels, min(shape.rate, samples - first)), dtype=np.float32))

    def _encode(self, sound: np.ndarray) -> None:
        """Encode ``[channels, samples]``, a second at a time, each followed by what belongs to it of the film."""
        for packets in self._sound.encode(sound):
            self._container.mux(packets)
            if self._film:
                self._film.advance(self._sound.encoded / self._sound.shape.rate)

    def _reread(self) -> None:
        """Compare the file with what was written; note what it could not hold."""
        try:
            told = reread(self._file, self._expected())
        except MediaError as error:
            advice = f"; {_advice(self._target, self._source)}" if self._source and self._kind.pictures else ""
            raise MediaError(f"cannot write {self._target}: {error}{advice}") from error
        if self._film:
            left_out = [*self._film.left_out, *missing(self._film.facts, told)]
            if left_out:
                self.notes.append(f"{self._target} leaves out: {', '.join(left_out)}")

    def _expected(self) -> list[Expected]:
        """The streams of the file, in order."""
        copies = self._film.copies if self._film else []
        copied = [
            Expected(copy.template.type, copy.seconds, copy.packets, codec_name(copy.template)) for copy in copies
        ]
        return [*copied, Expected("audio", self._total / self._sound.shape.rate)]


def _advice(target: Path, source: VideoInfo) -> str:
    """What to name instead of a target that cannot hold a film."""
    other = film_suffix(source.path)
    if other in (None, target.suffix.lower()):
        return "name a .wav or .flac file, without pictures"
    return f"name a {other} file"
