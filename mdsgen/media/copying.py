"""Copying a film from one container into another, packet by packet: its pictures and what belongs to them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from mdsgen.errors import MediaError
from mdsgen.media.clock import follow, mended
from mdsgen.media.container import open_input, picture_stream, reading
from mdsgen.media.formats import RIFF, Format
from mdsgen.media.metadata import carry_over, facts
from mdsgen.media.stream_copy import fastest, holds, loses_alpha, stream_like
from mdsgen.media.video import VideoInfo

_ANY_RATE = Fraction(25)


class FilmCopy:
    """The packets of a film on their way into ``output``, in step with its sound.

    Pictures, subtitles, attachments, chapters and metadata, and with ``sound`` the film's own sound, as far as the
    container takes them; ``left_out`` names the streams that it does not. Time stamps are shifted so that the first
    picture is shown at 0. Rotation, colours, pixel aspect and codec data travel with a stream's parameters. Of a video
    that was trimmed without encoding it anew (by an edit list), what lies behind the cut stays away; what precedes the
    first picture must come along, as decoders need it: MP4 and MOV hide it, Matroska cannot. Close it after ``output``.
    """

    def __init__(self, source: VideoInfo, output: OutputContainer, kind: Format, *, sound: bool) -> None:
        self.left_out: list[str] = []
        self._output, self._source, self._kind = output, source, kind
        self._copies: dict[int, _Copy] = {}
        with ExitStack() as opened:
            container = opened.enter_context(open_input(source.path))
            pictures = picture_stream(container)
            self._rate = _rate(pictures)
            self._add(pictures, kind, source.clock.unit)
            companions = opened.enter_context(open_input(source.path))
            chosen = self._companions(companions, kind, sound)
            for stream in chosen:
                self._add(stream, kind, stream.time_base)
            self.facts = facts(companions)
            carry_over(companions, output, source.start, fastest(pictures, self._rate))
            self._lines = [_Line(_pictures(container, pictures, source))]
            if chosen:
                self._lines.append(_Line(_shifted(follow(companions.demux(chosen), source.clock), source)))
            self._opened = opened.pop_all()

    @property
    def copies(self) -> list[_Copy]:
        """The streams that are copied, in the order of the result."""
        return list(self._copies.values())

    def refusal(self) -> str | None:
        """Which pictures the container cannot hold, in words; None where it takes them.

        Pictures of AVI and ASF have no time but that at which they are decoded.
        """
        pictures = self.copies[0].template
        what = f"the {self._source.codec} pictures of {self._source.path}"
        if self._kind.is_riff and self._source.reordered and pictures.container.format.name not in RIFF:
            return f"{what}, which are shown in another order than they are decoded in (B-frames)"
        return None if holds(self._kind, pictures) else what

    def advance(self, until: float = math.inf) -> None:
        """Copy the packets that decoders need before ``until`` seconds."""
        for line in self._lines:
            for packet in line.before(until):
                for copied in self._copies[id(packet.stream)].take(packet):
                    self._output.mux(copied)

    def close(self) -> None:
        """Close the source."""
        self._opened.close()

    def _add(self, template: Any, kind: Format, unit: Fraction) -> None:
        copy, rewriting = stream_like(template, self._output, kind, unit, self._rate)
        self._copies[id(template)] = _Copy(template, copy, rewriting)

    def _companions(self, container: Any, kind: Format, sound: bool) -> list[Any]:
        """The streams that go along with the pictures; notes those that cannot."""
        pictures = picture_stream(container)
        wanted: list[Any] = []
        missing: Counter[str] = Counter()
        for stream in container.streams:
            what = _name(stream)
            if stream is pictures:
                missing["transparency"] += loses_alpha(kind, stream)
                missing["rotation"] += self._source.rotation != 0 and not kind.holds_rotation
            elif stream.type == "audio":
                if sound and not holds(kind, stream):
                    fault = f"a {kind.muxer} file cannot hold the {what} of {self._source.path}"
                    raise MediaError(f"{fault}; name a .mkv file, or do not keep the original sound")
                wanted += [stream] if sound else []
            elif stream.type == "subtitle" and holds(kind, stream):
                wanted.append(stream)
            elif stream.type == "attachment" and kind.muxer == "matroska" and hasattr(self._output, "add_attachment"):
                self._output.add_attachment(stream.name or "attachment", stream.mimetype or "", stream.data)
            elif what:
                missing[what] += 1
        self.left_out += [what if count == 1 else f"{count} × {what}" for what, count in missing.items() if count]
        return wanted


class _Copy:
    """One stream, the stream of the result that it is copied into, and what has been copied so far.

    ``rewriting`` is the filter that gives packets the form of the container; None where they have it.
    """

    def __init__(self, template: Any, stream: Any, rewriting: BitStreamFilterContext | None) -> None:
        self.template, self.stream, self._rewriting = template, stream, rewriting
        self.packets = 0
        self.first: Fraction | None = None
        self.end = Fraction(0)

    @property
    def seconds(self) -> float:
        """From the first time stamp to the end of the last packet."""
        return float(self.end - self.first) if self.first is not None else 0.0

    def take(self, packet: Any) -> Iterator[Any]:
        """The packet as it is to be written; a filter gives one for each."""
        time = (packet.pts if packet.pts is not None else packet.dts) * packet.time_base
        self.first = time if self.first is None else min(self.first, time)
        self.end = max(self.end, time + (packet.duration or 0) * packet.time_base)
        self.packets += 1
        unit = packet.time_base
        for copied in [packet] if self._rewriting is None else self._rewriting.filter(packet):
            copied.stream, copied.time_base = self.stream, unit
            yield copied


class _Line:
    """Packets that are waiting for their time."""

    def __init__(self, packets: Iterator[Any]) -> None:
        self._packets = packets
        self._next = next(packets, None)

    def before(self, until: float) -> Iterator[Any]:
        """The packets that are to be decoded before ``until`` seconds, up to the first that is not."""
        while self._next is not None:
            packet = self._next
            time = packet.dts if packet.dts is not None else packet.pts
            if time * packet.time_base >= until:
                return
            yield packet
            self._next = next(self._packets, None)


def _pictures(container: Any, stream: Any, source: VideoInfo) -> Iterator[Any]:
    length = round(source.duration / source.clock.unit)
    for packet in _shifted(mended(container.demux(stream), stream, source.clock), source):
        if packet.is_discard and packet.dts >= length:
            return
        yield packet


def _shifted(packets: Iterable[Any], source: VideoInfo) -> Iterator[Any]:
    """Packets whose time counts from the first picture; without those that flush decoders or have no time."""
    with reading(source.path):
        for packet in packets:
            if not packet.size or (packet.pts is None and packet.dts is None):
                continue
            first = round(source.start / packet.time_base)
            packet.pts = packet.pts - first if packet.pts is not None else None
            packet.dts = packet.dts - first if packet.dts is not None else None
            yield packet


def _rate(pictures: Any) -> Fraction:
    """Pictures per second: the lower of two guesses, since each is a multiple of it in some films."""
    return min((Fraction(rate) for rate in (pictures.guessed_rate, pictures.average_rate) if rate), default=_ANY_RATE)


def _name(stream: Any) -> str | None:
    """What is left out with a stream, in words; None for streams that containers make from metadata."""
    codec = getattr(stream.codec_context, "name", None) or getattr(stream, "name", None)
    if stream.type == "data":
        is_made = "timecode" in stream.metadata or codec == "bin_data"  # the time code, and the names of chapters
        return None if is_made else f"data ({codec or 'of an unknown kind'})"
    what = {"video": "other pictures", "audio": "sound", "subtitle": "subtitles"}.get(stream.type, stream.type)
    language = stream.metadata.get("language")
    detail = [part for part in (codec, language if language != "und" else None) if part]
    return f"{what} ({', '.join(detail)})" if detail else str(what)
