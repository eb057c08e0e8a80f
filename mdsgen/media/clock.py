"""Time stamps that can be relied on: what a scan finds out about a file's clock, and packets mended by it.

Cameras restart their clock, broadcasts jump, a damaged bit turns two seconds into hours, Matroska rounds to
milliseconds, and raw streams have no time stamps at all. :func:`scan` looks at the packets of a file once and gives a
:class:`Clock`; :func:`mended` then gives the picture packets as they can be decoded and copied:

- every packet has a DTS and a PTS, DTS rises strictly, and no PTS lies before its DTS;
- from one packet to the next it is never longer than the clock's ``longest_gap``;
- where the clock restarts or jumps, the film goes on with its usual interval, and :func:`follow` moves the sound along;
- one that does not say how long it lasts (older FFmpeg says so of no MP4 file with B-frames) lasts until the next DTS.

The rules are few. Decoding times (DTS) decide, since they should rise. One that lies :data:`RESTART` or more before its
predecessor, or further after it than ``longest_gap``, begins a new segment, which is moved to where the film had come
to. One that does not rise otherwise is raised by the smallest step. A PTS that lies further from its DTS than pictures
are ever put out of order is replaced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mdsgen.errors import MediaError

PLAUSIBLE_GAP = 10
"""Seconds from one picture to the next that are believed without a witness, as FFmpeg does."""
WITNESSED_GAP = 600
"""Seconds that are believed where the header's duration or the sound is as long: a still screen that is recorded."""
RESTART = Fraction(1, 10)
"""Seconds by which a clock goes back when it starts anew; less than that is rounding."""
FINE = 16
"""Parts into which a tick is divided where several pictures share one."""
COARSE = Fraction(1, 20_000)
"""A tick longer than this is divided."""
REORDERED = 16
"""Pictures by which decoding order may be ahead of presentation: the most that H.264 and HEVC allow."""
HELD = 64
"""Packets without DTS that may precede the first with one; where there are more, the stream has none."""
_USUAL_INTERVAL = Fraction(1, 25)


@dataclass(frozen=True)
class Segment:
    """A part of the film in which its clock ran on: its raw ``begin`` and ``end``, and what is added, in seconds."""

    begin: Fraction
    end: Fraction
    shift: Fraction


@dataclass(frozen=True)
class Clock:
    """How the time stamps of one picture stream are read.

    ``unit`` is that of the mended packets, in seconds: the stream's own, or a :data:`FINE` part of it. ``interval`` is
    the usual time from one picture to the next and ``longest_gap`` the longest, in seconds. ``plain`` says that every
    presentation time is right as it stands: decoding may begin anywhere, and sound needs no moving.
    """

    unit: Fraction
    interval: Fraction
    longest_gap: Fraction = Fraction(PLAUSIBLE_GAP)
    segments: tuple[Segment, ...] = ()
    stamped: bool = True
    plain: bool = True


@dataclass
class Timeline:
    """The mended time line: number of packets, first PTS and end of the last picture, in ``unit`` seconds.

    ``reordered`` says that pictures are shown in another order than they are decoded in.
    """

    unit: Fraction
    packets: int = 0
    first: int = 0
    last: int = 0
    end: int = 0
    reordered: bool = False

    @property
    def start(self) -> float:
        return float(self.first * self.unit)

    @property
    def duration(self) -> float:
        return float((self.end - self.first) * self.unit)

    def add(self, pts: int, duration: int) -> None:
        if not self.packets or pts < self.first:
            self.first = pts
        if not self.packets or pts >= self.last:
            self.last, self.end = pts, pts + duration
        else:
            self.reordered = True
        self.packets += 1


class ClockScan:
    """Takes the picture packets of a file in order; after :meth:`finish`, ``clock`` and ``timeline`` say what they are.

    ``leapt`` is set where time stamps leap ahead by more than ``longest_gap`` seconds: what was made one interval may
    have been a long pause.
    """

    def __init__(self, stream: Any, longest_gap: int) -> None:
        rate = stream.average_rate or stream.guessed_rate
        interval = 1 / Fraction(rate) if rate and rate > 0 else _USUAL_INTERVAL
        self._rough = Clock(Fraction(stream.time_base) / FINE, interval, Fraction(longest_gap))
        self._coarse = Fraction(stream.time_base)  # PyAV 19 has rationals of its own, with less arithmetic
        self._mender = _Mender(self._coarse, self._rough)
        self.timeline = Timeline(self._rough.unit)

    def add(self, packet: Any) -> None:
        self._note(self._mender.place(packet))

    def finish(self) -> None:
        self._note(self._mender.finish())

    def _note(self, settled: Iterable[_Stamps]) -> None:
        for stamps in settled:
            if not stamps.discarded and stamps.pts is not None:  # an edit list cut the others away
                self.timeline.add(stamps.pts, stamps.duration)

    @property
    def leapt(self) -> bool:
        return self._mender.leapt

    @property
    def clock(self) -> Clock:
        mender, fine = self._mender, self._coarse > COARSE
        return replace(
            self._rough,
            unit=self._rough.unit if mender.shared and fine else self._coarse,
            segments=tuple(mender.segments),
            stamped=mender.stamped,
            plain=mender.stamped and not (mender.shared or mender.moved or len(mender.segments) > 1),
        )


def mended(packets: Iterable[Any], stream: Any, clock: Clock) -> Iterator[Any]:
    """The packets of a picture stream, from the file's first on, with time stamps that are whole; see above.

    ``packets`` is what ``container.demux(stream)`` gives, ``clock`` the file's. The same packets come out in the same
    order, none more and none fewer, the empty one that flushes the decoder included, and their ``time_base`` is
    ``clock.unit``. Those of a plain clock keep their PTS; what changes is a DTS that was missing or did not rise.

    Raises :class:`MediaError` for a stream without any time stamps whose pictures are not in order: only a decoder can
    tell when they are shown.
    """
    if not clock.stamped and stream.codec_context.has_b_frames:
        path = stream.container.name.removeprefix("file:")
        raise MediaError(
            f"cannot copy the pictures of {path}: they carry no time stamps and are not in the order in which they are "
            "shown; put them into a container first, or name a file for the sound alone"
        )
    return dated(packets, stream, clock)


def dated(packets: Iterable[Any], stream: Any, clock: Clock) -> Iterator[Any]:
    """As :func:`mended`, for a decoder: without time stamps, pictures that are out of order have their DTS for PTS."""
    mender = _Mender(Fraction(stream.time_base), clock)
    waiting: deque[Any] = deque()
    flush = None
    for packet in packets:
        if not packet.size:
            flush = packet
            continue
        waiting.append(packet)
        for stamps in mender.place(packet):
            yield stamps.write(waiting.popleft(), clock.unit)
    for stamps in mender.finish():
        yield stamps.write(waiting.popleft(), clock.unit)
    if flush is not None:
        flush.time_base = clock.unit
        yield flush


def follow(packets: Iterable[Any], clock: Clock) -> Iterator[Any]:
    """The packets of a sound stream, from the file's first on, moved along with the pictures' segments.

    Where the sound's own clock goes back by :data:`RESTART` or leaps ahead by more than ``clock.longest_gap``, and the
    pictures have a later segment at such a time, the sound belongs to that one. Otherwise it is silence.
    """
    segments, index, before = clock.segments, 0, None
    for packet in packets:
        dts = packet.dts if packet.dts is not None else packet.pts
        if packet.size and dts is not None and segments:
            time = dts * packet.time_base
            if before is not None and not before - RESTART < time <= before + clock.longest_gap:
                index = _segment_at(segments, index, time)
            before = time
            shift = round(segments[index].shift / packet.time_base)
            packet.dts = dts + shift
            packet.pts = packet.pts + shift if packet.pts is not None else None
        yield packet


def _segment_at(segments: tuple[Segment, ...], index: int, time: Fraction) -> int:
    """The next segment from ``index`` on that a sound at ``time`` can belong to; ``index`` where there is none."""
    for later in range(index + 1, len(segments)):
        if segments[later].begin - 1 <= time <= segments[later].end + 1:
            return later
    return index


@dataclass(slots=True)
class _Stamps:
    """Time stamps of one packet, in ticks of a clock."""

    dts: int | None
    pts: int | None
    duration: int
    key: bool
    discarded: bool

    def write(self, packet: Any, unit: Fraction) -> Any:
        packet.time_base = unit
        packet.dts, packet.pts, packet.duration = self.dts, self.pts, self.duration
        return packet


class _Mender:
    """Mends the time stamps of one packet after the other: from ticks of ``time_base`` to those of ``clock.unit``.

    Attributes:
        shared: Several packets had one DTS, or nearly.
        moved: A PTS is not what it was.
        stamped: Some packet had a DTS or a PTS.
        leapt: The clock, or a PTS, went ahead by more than the longest gap.
        segments: See :class:`Segment`.
    """

    def __init__(self, time_base: Fraction, clock: Clock) -> None:
        self.shared = self.moved = self.stamped = self.leapt = False
        self.segments: list[Segment] = []
        self._unit = clock.unit
        self._scale = round(time_base / clock.unit)
        self._gap = max(1, int(clock.longest_gap / clock.unit))
        self._interval = min(max(1, round(clock.interval / clock.unit)), self._gap)
        self._longest_delay = max(self._gap, REORDERED * self._interval)
        self._restart = max(int(RESTART / clock.unit), 2 * self._interval)
        self._held: list[_Stamps] = []
        self._begin = self._last = self._shift = 0  # of the segment: its first and last raw DTS, what is added
        self._before: int | None = None  # the last DTS, mended
        self._step = self._interval  # what the last packet lasts
        self._delay: int | None = None  # from DTS to PTS of a key frame
        self._open: _Stamps | None = None  # the last packet, where it does not say how long it lasts
        self._measured: int | None = None  # what the one before such a packet lasted

    def place(self, packet: Any) -> Sequence[_Stamps]:
        """Take the next packet; give the stamps that are certain by now, in order."""
        dts, pts, scale = packet.dts, packet.pts, self._scale
        stamps = _Stamps(
            None if dts is None else dts * scale,
            None if pts is None else pts * scale,
            (packet.duration or 0) * scale,
            packet.is_keyframe,
            packet.is_discard,
        )
        if self._before is not None:
            return self._settled(stamps, self._before)
        self._held.append(stamps)
        return self._release() if dts is not None or len(self._held) > HELD else ()

    def finish(self) -> Sequence[_Stamps]:
        """Give the packets that still wait for a DTS, and end the last segment."""
        released = self._release()
        if self._open is not None:
            self._open.duration = min(self._open.duration, self._measured or self._open.duration)
            released.append(self._open)
        if self._before is not None:
            self._end_segment()
        return released

    def _release(self) -> list[_Stamps]:
        """The packets before the first DTS get theirs from it, backwards; without one, the film begins at 0."""
        held, self._held = self._held, []
        if not held:
            return []
        self.stamped = any(stamps.dts is not None or stamps.pts is not None for stamps in held)
        if held[-1].dts is None:
            held[0].dts = min((stamps.pts for stamps in held if stamps.pts is not None), default=0)
        later = None
        for stamps in reversed(held):
            if later is not None and stamps.dts is None:
                self.moved |= stamps.pts is None
                earlier = later - self._lasting(stamps)
                stamps.dts = earlier if stamps.pts is None else min(earlier, stamps.pts)
            later = stamps.dts
        self._begin = held[0].dts or 0
        self._before = self._begin - 1
        return [certain for stamps in held for certain in self._settled(stamps, self._before)]

    def _lasting(self, stamps: _Stamps) -> int:
        return stamps.duration if 0 < stamps.duration <= self._gap else self._interval

    def _settled(self, stamps: _Stamps, before: int) -> list[_Stamps]:
        """Mend the next packet; give those that are certain by now: one without duration waits for the next DTS."""
        dts = self._placed(stamps, before)
        certain = []
        if self._open is not None:
            self._open.duration = self._measured = dts - before
            certain.append(self._open)
        pts = self._presented(stamps, dts)
        self.moved |= pts != stamps.pts if stamps.pts is not None else stamps.dts is None
        self._before, self._step = dts, self._lasting(stamps)
        self._open = None if stamps.duration == self._step else stamps
        stamps.dts, stamps.pts, stamps.duration = dts, pts, self._step
        return certain if self._open is stamps else [*certain, stamps]

    def _placed(self, stamps: _Stamps, before: int) -> int:
        """The packet's DTS on the film's time line: later than ``before``, that of the packet before."""
        follows = before + self._step
        if stamps.dts is None:
            known = follows if stamps.pts is None else stamps.pts + self._shift
            return min(known, follows) if known > before else follows
        dts = stamps.dts + self._shift
        if not before - self._restart < dts <= before + self._gap:
            self.leapt |= dts > before
            self._end_segment()
            self._begin, self._shift, dts = stamps.dts, follows - stamps.dts, follows
        elif dts <= before:
            self.shared = True
            dts = before + 1
        self._last = stamps.dts
        return dts

    def _presented(self, stamps: _Stamps, dts: int) -> int:
        """The packet's PTS: its own, unless that is missing or cannot be."""
        pts = None if stamps.pts is None else stamps.pts + self._shift
        if pts is None or not dts - self._restart < pts <= dts + self._longest_delay:
            self.leapt |= pts is not None and pts > dts
            return dts + (self._delay or 0)
        if self._delay is None and stamps.key:
            self._delay = max(0, pts - dts)
        return max(pts, dts)

    def _end_segment(self) -> None:
        begin, end, shift = (time * self._unit for time in (self._begin, self._last, self._shift))
        self.segments.append(Segment(begin, end, shift))
