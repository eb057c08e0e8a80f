"""Copying a picture stream from one container into another, packet by packet, untouched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer

from mdsgen.media.container import open_input, picture_stream
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
            self._copy = _stream_like(self._stream, output)
            self._packets = self._shifted(container, source)
            self._next = next(self._packets, None)
            self._opened = opened.pop_all()
        self._output = output

    def advance(self, until: float = math.inf) -> None:
        """Copy the packets that decoders need before ``until`` seconds."""
        while self._next is not None:
            packet = self._next
            time = packet.dts if packet.dts is not None else packet.pts
            if time * self._stream.time_base >= until:
                return
            self._next = next(self._packets, None)
            packet.stream = self._copy
            self._output.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._opened.close()

    def _shifted(self, container: Any, source: VideoInfo) -> Iterator[Any]:
        unit, rate = self._stream.time_base, self._stream.average_rate or self._stream.guessed_rate
        first, length = round(source.start / unit), round(source.duration / unit)
        for packet in container.demux(self._stream):
            if not packet.size:  # the flush at the end
                continue
            if packet.pts is not None:
                packet.pts -= first
            if packet.dts is not None:
                packet.dts -= first
                if packet.is_discard and packet.dts >= length:
                    return
            if not packet.duration and rate:  # the last frame has to last, too
                packet.duration = round(1 / (rate * unit))
            yield packet


def _stream_like(template: Any, output: OutputContainer) -> Any:
    """A stream of ``output`` with the parameters of ``template``.

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
    stream.time_base = template.time_base
    return stream
