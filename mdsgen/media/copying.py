"""Copying a film from one container into another, packet by packet: its pictures and what belongs to them."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from mdsgen.errors import MediaError
from mdsgen.media.clock import follow, mended
from mdsgen.media.container import open_input, picture_stream, reading
from mdsgen.media.formats import RIFF, Format
from mdsgen.media.metadata import carry_over, facts, stream_metadata
from mdsgen.media.video import VideoInfo

_NAMES_OF_AVI = (*RIFF, "matroska")
"""Muxers and demuxers that name codecs by AVI's four characters, Matroska where it has no name of its own."""
_ANY_RATE = Fraction(25)
_ANY_NAME = "\0\0\0\0"
_NO_FILTER = "null"
_HAS_LENGTHS = b"\1"
"""How the codec data of H.264 and HEVC begin where each unit is preceded by its length."""
_STAND_IN = {"width": 16, "height": 16, "bit_rate": 200_000, "time_base": Fraction(1, 25)}


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
            carry_over(companions, output, source.start, _fastest(pictures, self._rate))
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


def stream_like(
    template: Any, output: OutputContainer, kind: Format, unit: Fraction, rate: Fraction
) -> tuple[Any, BitStreamFilterContext | None]:
    """A stream of ``output`` with the parameters of ``template``, of whatever type, and the filter for its packets.

    There is one where the container wants H.264 and HEVC with start codes and they have lengths, as in MP4. Ticks are
    ``unit`` seconds; ``rate`` is what is said of the film's pictures per second.

    PyAV's ``add_stream_from_template`` wants an encoder of that codec, and PyAV 14 lets it replace the codec data: the
    copy is then unreadable. So: a stream of a codec that the format takes in any case, and a bitstream filter, which
    copies every parameter from one stream to another; FFmpeg's "null" does nothing else.
    """
    add: Any = output.add_stream
    if template.type == "video":
        stream = add(kind.pictures, rate=rate, **_STAND_IN)
    else:
        stream = add(kind.sound, rate=48_000, layout="mono", bit_rate=96_000)
    stream.codec_context.open()
    name = _filter(template, kind)
    rewriting = BitStreamFilterContext(name, in_stream=template, out_stream=stream)
    stream.codec_context.codec_tag = _tag(template, kind)
    stream.time_base = unit
    stream.metadata.update(stream_metadata(template, _fastest(template, rate)))
    stream.disposition = template.disposition.value
    return stream, None if name == _NO_FILTER else rewriting


def _filter(template: Any, kind: Format) -> str:
    """The bitstream filter that gives packets the form of the container."""
    codec = template.codec_context
    if kind.is_riff and codec.name in ("h264", "hevc") and (codec.extradata or b"")[:1] == _HAS_LENGTHS:
        return f"{codec.name}_mp4toannexb"
    return _NO_FILTER


def _rate(pictures: Any) -> Fraction:
    """Pictures per second: the lower of two guesses, since each is a multiple of it in some films."""
    return min((Fraction(rate) for rate in (pictures.guessed_rate, pictures.average_rate) if rate), default=_ANY_RATE)


def _fastest(template: Any, rate: Fraction) -> Fraction:
    """The pictures per second that a muxer may count time codes by: the film's, or what the codec's header says."""
    return max(rate, getattr(template.codec_context, "framerate", None) or rate)


def _tag(template: Any, kind: Format) -> str:
    """The four characters by which the container is to name the codec; zeros where it may choose.

    Of HEVC's two in MP4, Apple's players know only hvc1; that of AVI is one that FFmpeg reads and does not choose.
    ProRes and many codecs of AVI say by it which of their kinds they are, so that it stays where the source's container
    has the same names.
    """
    if template.codec_context.name == "hevc" and (kind.is_mp4 or kind.is_riff):
        return "hvc1" if kind.is_mp4 else "HEVC"
    source = template.container.format.name.split(",")[0]
    is_same = (source in _NAMES_OF_AVI and kind.muxer in _NAMES_OF_AVI) or source == kind.muxer == "mov"
    if template.type == "video" and (is_same or template.codec_context.name == "prores"):
        with suppress(UnicodeDecodeError):  # a name that is none
            return str(template.codec_context.codec_tag)
    return _ANY_NAME


def holds(kind: Format, template: Any) -> bool:
    """Whether the container takes a stream: a file of it without packets is written, to memory.

    AVI and ASF take what they have no name for, so that theirs is read again.
    """
    if template.codec_context is None:
        return False
    memory = io.BytesIO()
    output: Any = av.open(memory, "w", format=kind.muxer)
    try:
        stream_like(template, output, kind, template.time_base, _ANY_RATE)
        output.start_encoding()
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    finally:
        with suppress(av.error.FFmpegError, OSError):  # of an empty file
            output.close()
    return not kind.is_riff or _codec_in(memory) == template.codec_context.name


def _codec_in(memory: io.BytesIO) -> str | None:
    """The codec of the first stream of a file; None where there is none that is known."""
    memory.seek(0)
    try:
        with av.open(memory) as container:
            return next((stream.codec_context.name for stream in container.streams if stream.codec_context), None)
    except (av.error.FFmpegError, OSError):
        return None


def loses_alpha(kind: Format, template: Any) -> bool:
    """Whether pictures would lose their transparency: that of VP8 and VP9 lies beside the packets."""
    return template.metadata.get("alpha_mode") == "1" and not kind.holds_separate_alpha


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
