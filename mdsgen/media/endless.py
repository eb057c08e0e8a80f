"""Sound of a length that nobody knows yet: to a file, a pipe, or a sound card."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import av.error
import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.camera import device_format
from mdsgen.media.container import cause
from mdsgen.media.encoder import GENERATED, SoundEncoder
from mdsgen.media.formats import FORMATS, format_of
from mdsgen.media.names import PIPE, RAW
from mdsgen.media.target import fresh_file

CARDS = ("alsa", "pulse", "oss", "sndio", "audiotoolbox")
"""Output devices of FFmpeg: ``alsa:default`` is the usual sound card of Linux."""
CUSHION = 0.25
"""Seconds of silence that a sound card is given first, so that a block may be a little late."""

_AT_ONCE = {"fflags": "+flush_packets"}


class Sink(Protocol):
    """Takes blocks of sound, float32 ``[samples]``."""

    def write(self, block: np.ndarray) -> None: ...


@contextmanager
def open_sink(target: str, form: str | None = None) -> Iterator[Sink]:
    """Open where sound goes: ``-`` (``form`` ``"wav"`` or :data:`RAW`), a card such as ``alsa:default``, or a file.

    A file is finished when the block is left, and only then appears under its name; a fault leaves nothing. Raises
    :class:`MediaError` where it cannot be opened or written.
    """
    card, colon, device = target.partition(":")
    if target == PIPE:
        with _explained("standard output"):
            yield from _to_pipe(sys.stdout.buffer, form or "wav")
    elif colon and card in CARDS:
        with _explained(target):
            yield from _to_card(device_format(card, "w", target), device)
    else:
        yield from _to_file(Path(target))


class _Encoded:
    def __init__(self, container: Any, encoder: str) -> None:
        self._container, self._sound = container, SoundEncoder(container, encoder, GENERATED)
        container.start_encoding()

    def write(self, block: np.ndarray) -> None:
        for packets in self._sound.encode(block[np.newaxis]):
            self._container.mux(packets)

    def finish(self) -> None:
        self._container.mux(self._sound.flush())


class _Raw:
    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def write(self, block: np.ndarray) -> None:
        self._pipe.write(np.rint(np.clip(block, -1.0, 1.0) * 32767).astype("<i2").tobytes())
        self._pipe.flush()


def _to_pipe(pipe: BinaryIO, form: str) -> Iterator[Sink]:
    if form == RAW:
        yield _Raw(pipe)
    elif form == "wav":
        yield from _encoded(av.open(pipe, "w", format="wav", container_options=_AT_ONCE), "pcm_s16le")
    else:
        raise MediaError(f"cannot write {form} to standard output: expected wav or {RAW}")


def _to_card(name: str, device: str) -> Iterator[Sink]:
    for sink in _encoded(av.open(device or "default", "w", format=name), "pcm_s16le"):
        sink.write(np.zeros(round(CUSHION * SAMPLE_RATE), np.float32))
        yield sink


def _to_file(target: Path) -> Iterator[Sink]:
    kind = format_of(target)
    if kind.pictures:
        alone = ", ".join(suffix for suffix, other in FORMATS.items() if not other.pictures)
        raise MediaError(f"cannot write {target}: the sound of a live source is written alone; name a {alone}")
    with fresh_file(target, None) as temporary, _explained(str(target)):
        options = kind.options | _AT_ONCE
        yield from _encoded(av.open(f"file:{temporary}", "w", format=kind.muxer, container_options=options), kind.sound)


def _encoded(container: Any, encoder: str) -> Iterator[Sink]:
    with container:
        sink = _Encoded(container, encoder)
        yield sink
        sink.finish()


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"cannot write {target}: {cause(error)}") from error
