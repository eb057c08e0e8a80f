"""Whether a file that was just written can be read again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from mdsgen.errors import MediaError
from mdsgen.media.container import open_input
from mdsgen.media.formats import RIFF
from mdsgen.media.metadata import facts

TOLERANCE = 0.25
"""Seconds by which a stream's length may differ: encoders' delay, and time stamps rounded to what a container knows."""


@dataclass(frozen=True)
class Expected:
    """One stream as it was written: its kind, its length, and where it was copied its codec and number of packets."""

    type: str
    seconds: float
    packets: int | None = None
    codec: str | None = None


@dataclass
class _Found:
    """One stream as it is read.

    ``open`` is when the last packet is shown and decoded, where it does not say how long it lasts: until the next is
    decoded, which is ``step``. ``is_shown_when_decoded`` says that the container has no other time: what is read as
    such is FFmpeg's guess.
    """

    type: str
    codec: str | None
    is_shown_when_decoded: bool
    packets: int = 0
    is_shown: bool = False
    first: Fraction | None = None
    end: Fraction = Fraction(0)
    open: tuple[Fraction, Fraction] | None = None
    step: Fraction = Fraction(0)

    def add(self, packet: Any) -> None:
        self.packets += 1
        self.is_shown = self.is_shown or self.type != "video" or _is_decoded(packet)
        stamp = packet.dts if packet.pts is None or self.is_shown_when_decoded else packet.pts
        if stamp is None:
            return
        time, lasts = stamp * packet.time_base, (packet.duration or 0) * packet.time_base
        decoded = time if packet.dts is None else packet.dts * packet.time_base
        if self.open is not None:
            self.step = max(decoded - self.open[1], Fraction(0))
            self.end = max(self.end, self.open[0] + self.step)
        self.first = time if self.first is None else min(self.first, time)
        self.end = max(self.end, time + lasts)
        self.open = None if lasts else (time, decoded)

    @property
    def seconds(self) -> float:
        end = self.end if self.open is None else max(self.end, self.open[0] + self.step)
        return float(end - self.first) if self.first is not None else 0.0


def reread(file: Path, expected: list[Expected]) -> set[str]:
    """Read all packets of ``file``, decode its first picture, and compare: the names of what it says of the film.

    Raises :class:`MediaError`, with the reason alone, where a stream or a packet is missing, a length is wrong, or no
    picture can be decoded.
    """
    try:
        with open_input(file) as container:
            streams = [stream for stream in container.streams if stream.type in ("video", "audio", "subtitle")]
            is_riff = container.format.name in RIFF
            found = {stream.index: _Found(stream.type, codec_name(stream), is_riff) for stream in streams}
            for packet in container.demux(streams):
                if packet.size:
                    found[packet.stream.index].add(packet)
            said = facts(container)
    except MediaError as error:
        raise MediaError(f"it cannot be read again ({str(error).replace(str(file), 'it')})") from error
    _compare(expected, list(found.values()))
    return said


def codec_name(stream: Any) -> str | None:
    """The name of a stream's codec; None where it is unknown."""
    return str(stream.codec_context.name) if stream.codec_context else None


def _compare(expected: list[Expected], found: list[_Found]) -> None:
    expected = sorted(expected, key=lambda stream: stream.type)  # FLV puts what comes first first
    found = sorted(found, key=lambda stream: stream.type)
    wanted, there = [stream.type for stream in expected], [stream.type for stream in found]
    if wanted != there:
        raise MediaError(f"read again it holds {_list(there)} instead of {_list(wanted)}")
    for one, other in zip(expected, found, strict=True):
        if one.codec is not None and one.codec != other.codec:
            raise MediaError(f"read again its {one.type} is {other.codec} instead of {one.codec}")
        if not other.is_shown:
            raise MediaError(f"read again its {one.type} cannot be decoded")
        if one.packets is not None and one.packets != other.packets:
            raise MediaError(f"read again its {one.type} has {other.packets} packets instead of {one.packets}")
        if one.type != "subtitle" and abs(one.seconds - other.seconds) > TOLERANCE:
            raise MediaError(f"read again its {one.type} lasts {other.seconds:.3f} s instead of {one.seconds:.3f} s")


def _is_decoded(packet: Any) -> bool:
    """Whether a picture comes of it."""
    try:
        return bool(packet.decode())
    except (av.error.FFmpegError, OSError):  # the next one may be whole
        return False


def _list(types: list[str]) -> str:
    return ", ".join(types) or "nothing"
