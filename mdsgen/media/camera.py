"""Pictures from sources that never end: a camera of this machine, a network address, a pipe."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.format import ContainerFormat

from mdsgen.errors import MediaError
from mdsgen.media.container import frames_of, picture_stream, reading
from mdsgen.media.frames import Scaler
from mdsgen.media.names import ADDRESS, PIPE, as_given, is_endless

PATIENCE = 10.0
"""Seconds that an address may take to answer, and then to send the next picture."""


@dataclass(frozen=True)
class Camera:
    """Pictures as they come: of each its time stamp in seconds, None where it has none, and uint8 ``[size, size, 3]``.

    ``interval`` is how many seconds it is from one to the next, as the source says; None where it does not.
    """

    pictures: Iterator[tuple[float | None, np.ndarray]]
    interval: float | None

    def __iter__(self) -> Iterator[tuple[float | None, np.ndarray]]:
        return self.pictures


@contextmanager
def open_camera(source: Path, size: int) -> Iterator[Camera]:
    """Open a source, or play a file at its own speed, and give its pictures, ``size`` pixels high and wide. Raises
    :class:`MediaError` where it cannot be opened, for instance since this build of PyAV has no such device, and for
    whatever a library raises in the block.
    """
    name = as_given(source)
    with reading(name, "cannot open {} as a source of pictures"):
        container = _opened(source)
    with container, reading(name):
        stream = picture_stream(container)
        if stream is None:
            raise MediaError(f"{name} holds no moving pictures: expected a video")
        pictures = _pictures(container, stream, size)
        rate = stream.guessed_rate or stream.average_rate
        yield Camera(pictures if is_endless(source) else at_own_speed(pictures), 1 / float(rate) if rate else None)


def at_own_speed(
    pictures: Iterator[tuple[float | None, np.ndarray]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[float | None, np.ndarray]]:
    """The pictures of a file, each not before its time."""
    begun = None
    for stamp, picture in pictures:
        if stamp is not None:
            begun = clock() - stamp if begun is None else begun
            sleep(max(0.0, begun + stamp - clock()))
        yield stamp, picture


def _pictures(container: Any, stream: Any, size: int) -> Iterator[tuple[float | None, np.ndarray]]:
    scaler = Scaler(size)
    for packet in container.demux(stream):
        for frame in frames_of(packet):
            yield frame.time, scaler(frame)


def _opened(source: Path) -> Any:
    opened: Any = av.open
    name = str(source)
    if name == PIPE:
        return opened("pipe:0")
    if ADDRESS.match(name):
        options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
        return opened(as_given(source), container_options=options, timeout=PATIENCE)
    if source.exists() and stat.S_ISCHR(source.stat().st_mode):
        return opened(name, format=device_format("video4linux2", "r", name))
    return opened(f"file:{name}")


def device_format(name: str, mode: Literal["r", "w"], device: str) -> str:
    """The name of an input (``r``) or output (``w``) device. Raises :class:`MediaError` where this build has none."""
    try:
        ContainerFormat(name, mode)
    except ValueError as error:
        raise MediaError(f"cannot open {device}: this build of PyAV has no device {name}") from error
    return name
