"""GStreamer's element ``mdsgen``: pictures in, their sound out.

GStreamer finds it by ``GST_PLUGIN_PATH`` (``mdsgen-info --gstreamer``), a program of Python by
:func:`~mdsgen.integrations.registration.register`. It needs GStreamer's Python bindings, which a distribution
brings.
"""

from __future__ import annotations

import traceback
from fractions import Fraction
from functools import partial
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
from gi.repository import GLib, GObject, Gst  # noqa: E402

from mdsgen.errors import MdsgenError, MediaError, SettingsError  # noqa: E402
from mdsgen.geometry import SAMPLE_RATE  # noqa: E402
from mdsgen.integrations.raw_video import USUAL_RATE, RawVideo  # noqa: E402
from mdsgen.integrations.stretch import Stretch  # noqa: E402
from mdsgen.runtime import Live, LiveOptions, Pipeline  # noqa: E402

PICTURES = "video/x-raw, format=RGB, width=[1, 32768], height=[1, 32768], framerate=[0/1, 2147483647/1]"
SOUND = f"audio/x-raw, format=F32LE, layout=interleaved, channels=1, rate={SAMPLE_RATE}"

_MANY = 2**31 - 1
_ENDS = (Gst.EventType.STREAM_START, Gst.EventType.SEGMENT, Gst.EventType.SEGMENT_DONE, Gst.EventType.EOS)
_UNHEARD = 0.001  # seconds of more latency that nobody has to be told of


class Mdsgen(Gst.Element):  # type: ignore[misc]
    """The element. Bundle, engine and threads are read when it starts, the other settings when a sound begins.

    A sound begins with the first picture, and anew where pictures do not follow each other: after a seek, with another
    segment, and where a camera has been paused.
    """

    __gtype_name__ = "GstMdsgen"
    __gstmetadata__ = ("Sound for silent video", "Converter/Video/Audio", "Gives pictures their sound", "mdsgen")
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(PICTURES)),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(SOUND)),
    )

    bundle = GObject.Property(type=str, blurb="Folder of the bundle; none is $MDSGEN_BUNDLE, or the demo model")
    engine = GObject.Property(type=str, default="auto", blurb="auto, onnxruntime, openvino or tensorrt")
    threads = GObject.Property(type=int, default=0, minimum=0, maximum=_MANY, blurb="Threads; 0 is the engine's choice")
    seed = GObject.Property(type=int, default=0, minimum=0, maximum=_MANY, blurb="Another seed, another sound")
    steps = GObject.Property(type=int, default=0, minimum=0, maximum=_MANY, blurb="Solver steps; 0 is the preset fast")
    block = GObject.Property(
        type=float, default=LiveOptions.block, minimum=0, maximum=1e6, blurb="Seconds of sound at a time"
    )
    lookahead = GObject.Property(
        type=float,
        default=LiveOptions.lookahead,
        minimum=0,
        maximum=1e6,
        blurb="Seconds that a block waits for what follows it",
    )

    def __init__(self) -> None:
        super().__init__()
        sink, src = self.__gsttemplates__
        self._sink, self._src = Gst.Pad.new_from_template(sink, "sink"), Gst.Pad.new_from_template(src, "src")
        # Functions of the module: a pad that held a method of its element would keep it for ever.
        self._sink.set_chain_function(_take)
        self._sink.set_event_function(_obey)
        self._src.set_event_function(_consider)
        self._src.set_query_function(_answer)
        self.add_pad(self._sink)
        self.add_pad(self._src)
        self._pipeline: Pipeline | None = None
        self._forget()

    # State

    def do_change_state(self, transition: Any) -> Any:
        """GStreamer's own; the engines are open from PAUSED on."""
        change = Gst.StateChange
        try:
            if transition == change.READY_TO_PAUSED:
                self._open()
            elif transition == change.PAUSED_TO_READY or (transition == change.PLAYING_TO_PAUSED and self._is_live):
                self._break_off()
        except Exception as error:  # one that left here would be printed, and the pipeline go on
            self._report(error)
            return Gst.StateChangeReturn.FAILURE
        result = Gst.Element.do_change_state(self, transition)
        if transition == change.PAUSED_TO_READY:
            self._close()
        return result

    def _open(self) -> None:
        self._pipeline = Pipeline.open(self.bundle or None, self.engine, threads=self.threads or None)
        with self._new_live(USUAL_RATE) as live:
            self._latency = _reckoned(live)

    def _close(self) -> None:
        self._end_stretch()
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = None
        self._forget()

    def _forget(self) -> None:
        self._video: RawVideo | None = None
        self._segment: Any = None
        self._stretch: Stretch | None = None
        self._flow, self._latency, self._is_live = Gst.FlowReturn.OK, 0.0, False

    # Sound

    def take(self, buffer: Any) -> Any:
        """A picture has come."""
        if self._flow != Gst.FlowReturn.OK:
            return self._flow
        try:
            shown = self._placed(buffer)
            if shown is not None and self._video is not None:
                stretch = self._going_on(shown)
                data = buffer.extract_dup(0, buffer.get_size())  # a mapping is another thing in every version
                stretch.push(self._video.picture(data), shown / Gst.SECOND)
        except Exception as error:
            self._stop(error)
        return self._flow

    def _placed(self, buffer: Any) -> int | None:
        """When a picture appears in its segment, in nanoseconds; None where it does not."""
        if self._segment is None or self._segment.format != Gst.Format.TIME:
            raise MediaError("mdsgen needs pictures that have times: a segment in the format TIME")
        if self._segment.rate < 0:
            raise MediaError("mdsgen cannot play backwards")
        if buffer.pts == Gst.CLOCK_TIME_NONE:
            raise MediaError("mdsgen needs pictures that have times: one came without")
        end = buffer.pts + (buffer.duration if buffer.duration != Gst.CLOCK_TIME_NONE else 0)
        seen, start, _ = self._segment.clip(Gst.Format.TIME, buffer.pts, end)
        return start if seen else None

    def _going_on(self, shown: int) -> Stretch:
        if self._stretch is None or self._stretch.is_left:
            self._end_stretch()
            self._is_live = _is_live(self._sink)
            live = self._new_live(self._video.frame_rate if self._video else USUAL_RATE)
            give = partial(self._give, live, shown)
            self._stretch = Stretch(live, give, self._stop, camera=self._is_live)
        return self._stretch

    def _give(self, live: Live, start: int, block: np.ndarray, sample: int) -> bool:
        begin, end = (start + number * Gst.SECOND // SAMPLE_RATE for number in (sample, sample + len(block)))
        buffer = Gst.Buffer.new_wrapped(block.astype("<f4").tobytes())
        buffer.pts, buffer.duration = begin, end - begin
        buffer.offset, buffer.offset_end = sample, sample + len(block)
        if not sample:
            buffer.set_flags(Gst.BufferFlags.DISCONT)
        flow = self._src.push(buffer)
        if flow != Gst.FlowReturn.OK:
            self._flow = flow
        self._say_latency(_reckoned(live))
        return bool(flow == Gst.FlowReturn.OK)

    def _new_live(self, rate: Fraction) -> Live:
        assert self._pipeline is not None  # it is open from PAUSED on, and pictures come no earlier
        return self._pipeline.live(
            frame_rate=float(rate),
            block=self.block,
            lookahead=self.lookahead,
            seed=self.seed,
            steps=self.steps or None,
        )

    def _end_stretch(self) -> None:
        """Give the rest of a sound that is going on."""
        try:
            if self._stretch is not None:
                self._stretch.drain()
        finally:
            self._stretch = None

    def _break_off(self) -> None:
        """Give nothing any more of a sound that is going on; does not wait."""
        if self._stretch is not None:
            self._stretch.leave()

    # Events and queries

    def obey(self, pad: Any, event: Any) -> bool:
        """An event from where pictures come."""
        kind = event.type
        if kind == Gst.EventType.FLUSH_START:
            self._flow = Gst.FlowReturn.FLUSHING
            self._break_off()
        elif kind == Gst.EventType.FLUSH_STOP:
            self._end_stretch()
            self._flow = Gst.FlowReturn.OK
        elif kind in _ENDS:
            try:
                self._end_stretch()
            except Exception as error:  # what follows is to come all the same
                self._stop(error)
        if kind == Gst.EventType.CAPS:
            self._video = RawVideo.of_caps(event.parse_caps())
            return bool(self._src.has_current_caps() or self._src.push_event(Gst.Event.new_caps(_caps(SOUND))))
        if kind == Gst.EventType.STREAM_START:
            event = _sounds_start(self, self._src, event)
        elif kind == Gst.EventType.SEGMENT:
            self._segment = Gst.Segment()
            event.copy_segment(self._segment)
        elif kind == Gst.EventType.TAG and event.parse_tag().get_scope() == Gst.TagScope.STREAM:
            return True  # of the pictures alone
        return bool(pad.event_default(self, event))

    def answer(self, pad: Any, query: Any) -> bool:
        """A query from where sound goes."""
        if query.type != Gst.QueryType.LATENCY:
            return bool(pad.query_default(self, query))
        if not self._sink.peer_query(query):
            return False
        is_live, least, most = query.parse_latency()
        own = round(self._latency * Gst.SECOND)
        query.set_latency(is_live, least + own, most if most == Gst.CLOCK_TIME_NONE else most + own)
        return True

    def _say_latency(self, seconds: float) -> None:
        if seconds > self._latency + _UNHEARD:
            self._latency = seconds
            self.post_message(Gst.Message.new_latency(self))

    def _stop(self, error: Exception) -> None:
        if self._flow != Gst.FlowReturn.ERROR and (self._stretch is None or not self._stretch.is_left):
            self._flow = Gst.FlowReturn.ERROR
            self._report(error)

    def _report(self, error: Exception) -> None:
        """An element error with one line, and for a fault of ours where it happened."""
        told = isinstance(error, MdsgenError)
        domain, code = Gst.stream_error_quark(), Gst.StreamError.FAILED
        if isinstance(error, SettingsError):
            domain, code = Gst.library_error_quark(), Gst.LibraryError.SETTINGS
        line = str(error) if told else f"{type(error).__name__}: {error}"
        detail = "" if told else "".join(traceback.format_exception(error))
        self.post_message(Gst.Message.new_error(self, GLib.Error.new_literal(domain, line, code), detail))


ELEMENT = ("mdsgen", Gst.Rank.NONE, Mdsgen)
"""Name, rank and class, as GStreamer's loader for Python takes them."""


def _take(pad: Any, *given: Any) -> Any:
    element = pad.get_parent()
    return Gst.FlowReturn.FLUSHING if element is None else element.take(given[-1])


def _obey(pad: Any, *given: Any) -> bool:
    element = pad.get_parent()
    return element is not None and element.obey(pad, given[-1])


def _answer(pad: Any, *given: Any) -> bool:
    element = pad.get_parent()
    return element is not None and element.answer(pad, given[-1])


def _consider(pad: Any, *given: Any) -> bool:
    """An event from where sound goes: pictures are not played backwards, and none is left out for late sound."""
    event = given[-1]
    if event.type == Gst.EventType.QOS:
        return True
    if event.type == Gst.EventType.SEEK and event.parse_seek()[0] <= 0:
        return False
    return bool(pad.event_default(pad.get_parent(), event))


def _reckoned(live: Live) -> float:
    """Seconds of latency, counting on a block that takes as long to compute as to play: then it is said once."""
    return live.latency + max(0.0, live.options.block - live.statistics.longest)


def _is_live(pad: Any) -> bool:
    """Whether pictures come from a camera, or the like, that does not wait."""
    query = Gst.Query.new_latency()
    return bool(pad.peer_query(query) and query.parse_latency()[0])


def _sounds_start(element: Any, pad: Any, event: Any) -> Any:
    """The start of a stream of our own, of the same group as that of the pictures."""
    start = Gst.Event.new_stream_start(pad.create_stream_id(element, "sound"))
    grouped, group = event.parse_group_id()
    if grouped:
        start.set_group_id(group)
    return start


def _caps(text: str) -> Any:
    return Gst.Caps.from_string(text)
