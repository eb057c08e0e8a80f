"""One stream in another container: its parameters, its packets' form, and whether the container holds it."""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from mdsgen.media.container import open_input
from mdsgen.media.formats import RIFF, Format
from mdsgen.media.metadata import stream_metadata

_NAMES_OF_AVI = (*RIFF, "matroska")
"""Muxers and demuxers that name codecs by AVI's four characters, Matroska where it has no name of its own."""
_ANY_RATE = Fraction(25)
_ANY_NAME = "\0\0\0\0"
_NO_FILTER = "null"
_HAS_LENGTHS = b"\1"
"""How the codec data of H.264 and HEVC begin where each unit is preceded by its length."""
_STAND_IN = {"width": 16, "height": 16, "bit_rate": 200_000, "time_base": Fraction(1, 25)}


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
    stream.metadata.update(stream_metadata(template, fastest(template, rate)))
    stream.disposition = template.disposition.value
    return stream, None if name == _NO_FILTER else rewriting


def _filter(template: Any, kind: Format) -> str:
    """The bitstream filter that gives packets the form of the container."""
    codec = template.codec_context
    if kind.is_riff and codec.name in ("h264", "hevc") and (codec.extradata or b"")[:1] == _HAS_LENGTHS:
        return f"{codec.name}_mp4toannexb"
    return _NO_FILTER


def fastest(template: Any, rate: Fraction) -> Fraction:
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
    """Whether the container takes a stream: a file of it is written, to memory.

    It has no packets but the first of lossless pictures, which is decoded again. That of AVI and ASF is read again in
    any case: they take what they have no name for.
    """
    if template.codec_context is None:
        return False
    memory, picture = io.BytesIO(), _first_picture(template)
    output: Any = av.open(memory, "w", format=kind.muxer)
    try:
        stream, _ = stream_like(template, output, kind, template.time_base, _ANY_RATE)
        output.start_encoding()
        if picture is not None:
            picture.stream = stream
            output.mux(picture)
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    finally:
        with suppress(av.error.FFmpegError, OSError):  # of an empty file
            output.close()
    if picture is None and not kind.is_riff:
        return True
    codec, is_shown = _found(memory)
    return codec == template.codec_context.name and (is_shown or picture is None)


def _first_picture(template: Any) -> Any:
    """The first packet of lossless pictures; None for others, and where no picture comes of it.

    Many lossless codecs leave it to the container to say how deep the samples are and in which order they lie, or keep
    what says so beside the packets. Not every container does, and then nothing can be decoded.
    """
    if template.type != "video" or template.codec_context.codec.lossy:
        return None
    with open_input(template.container.name.removeprefix("file:")) as container:
        packets = container.demux(container.streams[template.index])
        packet = next((packet for packet in packets if packet.size), None)
        if packet is None or not _decodes(packet):
            return None
        packet.pts = packet.dts = 0
        return packet


def _found(memory: io.BytesIO) -> tuple[str | None, bool]:
    """The codec of a file's first stream, None where none is known, and whether a picture comes of it."""
    memory.seek(0)
    codec, opened = None, av.open  # of a type that depends on its mode
    try:
        with opened(memory, "r") as container:
            codec = next((stream.codec_context.name for stream in container.streams if stream.codec_context), None)
            # without a packet, PyAV 14 crashes over the empty one at the end
            return codec, any(packet.size and _decodes(packet) for packet in container.demux(video=0))
    except (av.error.FFmpegError, OSError, IndexError):
        return codec, False


def _decodes(packet: Any) -> bool:
    """Whether a picture comes of a packet; none comes of a damaged one."""
    try:
        return bool(packet.decode())
    except av.error.FFmpegError:
        return False


def loses_alpha(kind: Format, template: Any) -> bool:
    """Whether pictures would lose their transparency: that of VP8 and VP9 lies beside the packets."""
    return template.metadata.get("alpha_mode") == "1" and not kind.holds_separate_alpha
