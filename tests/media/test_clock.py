"""Properties of mended time stamps, whatever the packets say."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mdsgen.media.clock import FINE, PLAUSIBLE_GAP, Clock, ClockScan, Segment, follow, mended

TICK = Fraction(1, 1000)
INTERVAL = 40
STREAM: Any = SimpleNamespace(
    time_base=TICK,
    average_rate=Fraction(25),
    guessed_rate=None,
    codec_context=SimpleNamespace(has_b_frames=False),
)


@dataclass
class Packet:
    """The part of PyAV's packet that a clock looks at."""

    dts: int | None
    pts: int | None
    duration: int | None = INTERVAL
    size: int = 1
    is_keyframe: bool = False
    is_discard: bool = False
    time_base: Fraction = TICK


def scanned(packets: list[Packet], longest_gap: int = PLAUSIBLE_GAP) -> ClockScan:
    scan = ClockScan(STREAM, longest_gap)
    for packet in packets:
        scan.add(packet)
    scan.finish()
    return scan


def mend(packets: list[Packet], clock: Clock) -> list[Packet]:
    flush = Packet(None, None, None, size=0)
    *out, last = mended([*packets, flush], STREAM, clock)
    assert last is flush
    assert last.time_base == clock.unit
    return out


def seconds(packets: list[Packet], which: str = "pts") -> list[float]:
    return [float(getattr(packet, which) * packet.time_base) for packet in packets]


times = st.none() | st.integers(-5000, 20_000) | st.integers(-(2**40), 2**40)
packet_lists = st.lists(
    st.builds(Packet, times, times, st.none() | st.integers(0, 100) | st.integers(0, 2**40), is_keyframe=st.booleans()),
    min_size=1,
    max_size=90,
)
steps = st.lists(st.integers(1, 3000), max_size=40)


@given(packet_lists)
def test_whatever_packets_say_their_stamps_are_whole_afterwards(packets: list[Packet]) -> None:
    scan = scanned(packets)
    clock = scan.clock
    out = mend(packets, clock)
    assert [id(packet) for packet in out] == [id(packet) for packet in packets]
    decoded, shown = seconds(out, "dts"), seconds(out)
    longest = max(PLAUSIBLE_GAP, 16 * INTERVAL / 1000) + 1e-6
    assert all(before < after <= before + longest for before, after in pairwise(decoded))
    assert all(dts <= pts <= dts + longest for dts, pts in zip(decoded, shown, strict=True))
    assert all(0 < packet.duration * packet.time_base <= PLAUSIBLE_GAP for packet in out)
    assert out[0].time_base in (TICK, TICK / FINE)
    assert len(clock.segments) >= 1


@given(packet_lists)
def test_the_scan_s_time_line_is_that_of_the_mended_packets(packets: list[Packet]) -> None:
    scan = scanned(packets)
    out = mend(packets, scan.clock)
    last = max(out, key=lambda packet: packet.pts)
    assert scan.timeline.packets == len(packets)
    assert scan.timeline.start == pytest.approx(min(seconds(out)), abs=1e-9)
    assert scan.timeline.duration <= len(packets) * 2 * PLAUSIBLE_GAP + 1
    if scan.clock.unit != TICK:
        end = float((last.pts + last.duration) * last.time_base)
        assert scan.timeline.start + scan.timeline.duration >= end - PLAUSIBLE_GAP - 1e-9


@given(st.integers(-10_000, 10_000), steps, st.integers(0, 200))
def test_a_sound_clock_is_left_alone(first: int, steps: list[int], delay: int) -> None:
    dts = [first]
    for step in steps:
        dts.append(dts[-1] + step)
    packets = [Packet(time, time + delay) for time in dts]
    scan = scanned(packets)
    assert scan.clock.plain
    assert not scan.leapt
    out = mend(packets, scan.clock)
    assert [(packet.dts, packet.pts, packet.time_base) for packet in out] == [(t, t + delay, TICK) for t in dts]
    assert scan.timeline.duration == float((dts[-1] - dts[0] + INTERVAL) * TICK)


@given(st.lists(st.integers(-(2**33), 2**33), min_size=1, max_size=4), st.integers(12, 40))
def test_segments_follow_one_another_wherever_each_begins(begins: list[int], length: int) -> None:
    packets = [
        Packet(begin + INTERVAL * index, begin + INTERVAL * index) for begin in begins for index in range(length)
    ]
    breaks = [after - before - length * INTERVAL for before, after in pairwise(begins)]
    assume(not any(-300 < leap <= PLAUSIBLE_GAP * 1000 for leap in breaks))  # too small to tell from a pause
    scan = scanned(packets)
    assert scan.timeline.duration == pytest.approx(len(packets) * INTERVAL / 1000)
    assert len(scan.clock.segments) == len(begins)


def test_the_first_packets_get_their_dts_from_the_next() -> None:
    packets = [Packet(None, 0), Packet(None, 160), Packet(0, 80), Packet(40, 40)]
    scan = scanned(packets)
    assert [packet.dts for packet in mend(packets, scan.clock)] == [-80, -40, 0, 40]
    assert scan.clock.plain


def test_packets_of_one_tick_share_it() -> None:
    packets = [Packet(time, time, 0) for time in (0, 1, 2, 3, 3, 4)]
    scan = scanned(packets)
    assert scan.clock.unit == TICK / FINE
    assert [packet.dts for packet in mend(packets, scan.clock)] == [0, 16, 32, 48, 49, 64]


def test_a_packet_that_does_not_say_how_long_it_lasts_lasts_until_the_next() -> None:
    packets = [Packet(dts, pts, 0) for dts, pts in [(0, 40), (10, 2000), (60, 60), (70, 75)]]
    scan = scanned(packets)
    assert scan.timeline.duration == pytest.approx(2.01)
    assert [packet.duration for packet in mend(packets, scan.clock)] == [10, 50, 10, 10]


def test_the_last_packet_lasts_no_longer_than_usual() -> None:
    packets = [Packet(time, time, None) for time in (0, 40, 1040)]
    scan = scanned(packets)
    assert scan.timeline.duration == pytest.approx(1.08)
    assert [packet.duration for packet in mend(packets, scan.clock)] == [40, 1000, 40]


def test_a_longer_gap_is_kept_when_it_is_to_be_believed() -> None:
    packets = [Packet(time, time) for time in (0, 40, 300_000, 300_040)]
    assert scanned(packets).leapt
    assert scanned(packets).timeline.duration == pytest.approx(0.16)
    assert scanned(packets, 600).timeline.duration == pytest.approx(300.08)


def test_sound_is_moved_with_its_segment() -> None:
    segments = (Segment(Fraction(0), Fraction(2), Fraction(0)), Segment(Fraction(0), Fraction(2), Fraction(2)))
    clock = Clock(TICK, Fraction(1, 25), segments=segments, plain=False)
    sound = [Packet(time, time) for time in [*range(0, 2000, 20), *range(0, 2000, 20)]]
    assert [packet.dts for packet in follow(sound, clock)] == list(range(0, 4000, 20))


def test_a_pause_of_the_sound_is_no_segment() -> None:
    clock = Clock(TICK, Fraction(1, 25), segments=(Segment(Fraction(0), Fraction(90), Fraction(0)),))
    sound = [Packet(time, time) for time in (0, 20, 60_000, 60_020)]
    assert [packet.dts for packet in follow(sound, clock)] == [0, 20, 60_000, 60_020]
