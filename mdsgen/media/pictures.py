"""Copying a picture stream from one container into another, packet by packet, untouched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from mdsgen.media.clock import mended
from mdsgen.media.container import open_input, picture_stream, reading
from mdsgen.media.video import VideoInfo


class PictureCopy:
    """The picture packets of ``source`` on their way into ``output``, in step with its sound.

    Time stamps are shifted so that the first picture is shown at 0. Rotation, colours, pixel aspect and codec data
    travel with the stream's parameters. Of a video that was trimmed without encoding it anew (by an edit list), what
    lies behind the cut stays away; what precedes the first picture must come along, as decoders need it: MP4 and MOV
    hide it, Matroska cannot. Close it after ``output``.
    """

    def __init__(self, source: VideoInfo, output: OutputContainer) -> None:
        with ExitStack() as opened:
            container = opened.enter_context(open_input(source.path))
            self._stream = picture_stream(container)
            self._copy = _stream_like(self._stream, output, source.clock.unit)
            self._packets = self._shifted(container, source)
            self._next = next(self._packets, None)
            self._unit = source.clock.unit
            self._opened = opened.pop_all()
        self._output = output

    def advance(self, until: float = math.inf) -> None:
        """Copy the packets that decoders need before ``until`` seconds."""
        while self._next is not None:
            packet = self._next
            if packet.dts * self._unit >= until:
                return
            self._next = next(self._packets, None)
            packet.stream = self._copy
            self._output.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._opened.close()

    def _shifted(self, container: Any, source: VideoInfo) -> Iterator[Any]:
        unit = source.clock.unit
        first, length = round(source.start / unit), round(source.duration / unit)
        with reading(source.path):
            for packet in mended(container.demux(self._stream), self._stream, source.clock):
                if not packet.size:  # the flush at the end
                    continue
                packet.pts -= first
                packet.dts -= first
                if packet.is_discard and packet.dts >= length:
                    return
                yield packet


def _stream_like(template: Any, output: OutputContainer, unit: Fraction) -> Any:
    """A stream of ``output`` with the parameters of ``template``, its ticks of ``unit`` seconds.

    PyAV's ``add_stream_from_template`` wants an encoder of that codec, and PyAV 14 lets it replace the codec data: the
    copy is then unreadable. So: a stream of a codec that always exists, and FFmpeg's "null" bitstream filter, which
    copies every parameter from one stream to another.
    """
    stream: Any = output.add_stream("mpeg4", rate=25, width=16, height=16)
    stream.codec_context.open()
    BitStreamFilterContext("null", in_stream=template, out_stream=stream)
    # Containers have names of their own for a codec. Of HEVC's two in MP4, Apple's players know only hvc1.
    is_hvc1 = template.codec_context.name == "hevc" and template.codec_context.codec_tag == "hvc1"
    stream.codec_context.codec_tag = "hvc1" if is_hvc1 and output.format.name in ("mp4", "mov") else "\0\0\0\0"
    stream.time_base = unit
    return stream
