"""Sound of a length that nobody knows yet: to a file, a pipe, or a sound card."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import av.error
import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.camera import device_format
from mdsgen.media.container import muxing
from mdsgen.media.encoder import GENERATED, SoundEncoder
from mdsgen.media.formats import FORMATS, format_of
from mdsgen.media.names import PIPE, RAW
from mdsgen.media.target import check_target, fresh_file

CARDS = ("alsa", "pulse", "oss", "sndio", "audiotoolbox")
"""Output devices of FFmpeg: ``alsa:default`` is the usual sound card of Linux."""
CUSHION = 0.25
"""Seconds of silence that a sound card is given first, so that a block may be a little late."""

_OUTPUT = "standard output"
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
    check_sink(target, form)
    card, _, device = target.partition(":")
    if target == PIPE:
        with _to_pipe(sys.stdout.buffer, form) as sink:
            yield sink
    elif is_card(target):
        with _encoded(target, device or "default", device_format(card, "w", target), "pcm_s16le", {}) as sink:
            sink.write(np.zeros(round(CUSHION * SAMPLE_RATE), np.float32))
            yield sink
    else:
        with _to_file(Path(target)) as sink:
            yield sink


def is_card(target: str) -> bool:
    """Whether this names a sound card."""
    return target.partition(":")[0] in CARDS and ":" in target


def check_sink(target: str, form: str | None = None) -> None:
    """Raise :class:`MediaError` where sound in that form cannot go to such a target, before anything is opened."""
    if target == PIPE:
        if form not in (None, "wav", RAW):
            raise MediaError(f"cannot write {form} to {_OUTPUT}: expected wav or {RAW}")
    elif is_card(target):
        if form is not None:
            raise MediaError(f"cannot write {form} to {target}: a sound card takes sound without a format")
    else:
        _check_file(Path(target), form)


def _check_file(target: Path, form: str | None) -> None:
    if format_of(target).pictures:
        alone = ", ".join(suffix for suffix, other in FORMATS.items() if not other.pictures)
        raise MediaError(f"cannot write {target}: the sound of a live source is written alone; name a {alone}")
    if form is not None and target.suffix.lower() != f".{form}":
        raise MediaError(f"cannot write {form} to {target}: its name says another format")
    check_target(target, None)


@contextmanager
def _to_pipe(pipe: BinaryIO, form: str | None) -> Iterator[Sink]:
    if form == RAW:
        yield _Raw(pipe)
        return
    with _encoded(_OUTPUT, pipe, "wav", "pcm_s16le", _AT_ONCE) as sink:
        yield sink


@contextmanager
def _to_file(target: Path) -> Iterator[Sink]:
    kind = format_of(target)
    options = kind.options | _AT_ONCE
    with (
        fresh_file(target, None) as temporary,
        _encoded(str(target), f"file:{temporary}", kind.muxer, kind.sound, options) as sink,
    ):
        yield sink


@contextmanager
def _encoded(name: str, file: Any, muxer: str, encoder: str, options: dict[str, str]) -> Iterator[Sink]:
    """A sink whose faults are told of ``name``; its end is written where the block ends well."""
    with muxing(name):
        container = av.open(file, "w", format=muxer, container_options=options)
    try:
        sink = _Encoded(name, container, encoder)
        yield sink
        sink.finish()
    finally:
        with suppress(av.error.FFmpegError, OSError, ValueError):  # the reason is already on its way to the caller
            container.close()


class _Encoded:
    def __init__(self, name: str, container: Any, encoder: str) -> None:
        self._name, self._container = name, container
        with muxing(name):
            self._sound = SoundEncoder(container, encoder, GENERATED)
            container.start_encoding()

    def write(self, block: np.ndarray) -> None:
        with muxing(self._name):
            for packets in self._sound.encode(block[np.newaxis]):
                self._container.mux(packets)

    def finish(self) -> None:
        with muxing(self._name):
            self._container.mux(self._sound.flush())
            self._container.close()


class _Raw:
    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def write(self, block: np.ndarray) -> None:
        with muxing(_OUTPUT):
            self._pipe.write(np.rint(np.clip(block, -1.0, 1.0) * 32767).astype("<i2").tobytes())
            self._pipe.flush()
