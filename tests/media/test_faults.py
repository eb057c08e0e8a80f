"""Films with a faulty clock or an odd order of streams: what is read of them, and what is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import open_writer, probe, read_sound, sample_count
from mdsgen.media.container import open_input
from tests.media import faults
from tests.media.conftest import Renderer
from tests.media.released import read_frames, read_pictures

Packets = Callable[[Path], list[bytes]]


def copy(source: Path, target: Path) -> Path:
    info = probe(source)
    with open_writer(target, info, duration=info.duration) as writer:
        writer.write(np.zeros(sample_count(info.duration), np.float32))
    return target


def picture_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.size)


def even(frames: int, rate: int) -> list[float]:
    return [index / rate for index in range(frames)]


@pytest.fixture
def restarted(tmp_path: Path) -> Path:
    """Two segments of a camera, each begun at 0 and of 2 s, with a sound at 0.5 s and one at 1.5 s."""
    part = faults.segment(tmp_path / "part.ts", sound=faults.bursts(2.0, [0.5, 1.5]))
    return faults.joined(tmp_path / "twice.ts", part, part)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clock_that_starts_anew_goes_on(restarted: Path, tmp_path: Path, packets: Packets, suffix: str) -> None:
    info = probe(restarted)
    assert info.duration == pytest.approx(4.0, abs=1e-3)
    target = copy(restarted, tmp_path / f"out{suffix}")
    assert len(packets(target)) == 100
    assert picture_times(target) == pytest.approx(even(100, 25), abs=1.1e-3)
    assert probe(target).duration == pytest.approx(4.0, abs=2e-3)


def test_sound_goes_along_when_the_clock_starts_anew(restarted: Path) -> None:
    sound = np.concatenate(list(read_sound(restarted)))
    assert sound.size == 64_000
    assert faults.onsets(sound) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.03)


def test_pictures_behind_a_new_start_can_be_asked_for(restarted: Path) -> None:
    whole = list(read_pictures(restarted))
    late = list(read_pictures(restarted, start=2.5, duration=1.0))
    assert len(whole) == 16
    np.testing.assert_array_equal(late, whole[10:14])
    sound = np.concatenate(list(read_sound(restarted, start=2.25, duration=1.0)))
    assert faults.onsets(sound) == pytest.approx([0.25], abs=0.03)


@pytest.mark.parametrize("since", [13, 1000, 90_000])
def test_a_clock_that_leaps_goes_on(tmp_path: Path, packets: Packets, since: int) -> None:
    parts = [
        faults.segment(tmp_path / f"{begin}.ts", since=begin, sound=faults.bursts(2.0, [0.5])) for begin in (0, since)
    ]
    path = faults.joined(tmp_path / "jump.ts", *parts)
    assert probe(path).duration == pytest.approx(4.0, abs=1e-3)
    assert faults.onsets(np.concatenate(list(read_sound(path)))) == pytest.approx([0.5, 2.5], abs=0.03)
    target = copy(path, tmp_path / "out.mp4")
    assert picture_times(target) == pytest.approx(even(100, 25), abs=1e-3)
    assert len(packets(target)) == 100


def test_a_pause_that_is_short_enough_stays(tmp_path: Path) -> None:
    parts = [faults.segment(tmp_path / f"{begin}.ts", since=begin, b_frames=0) for begin in (0, 7)]
    assert probe(faults.joined(tmp_path / "pause.ts", *parts)).duration == pytest.approx(9.0, abs=1e-3)


@pytest.mark.parametrize(("suffix", "options"), [(".mkv", {}), (".mp4", {}), (".webm", {"live": "1"})])
def test_a_still_screen_of_a_minute_is_believed_where_header_or_sound_are_as_long(
    render: Renderer, suffix: str, options: dict[str, str]
) -> None:
    sound = np.zeros(80 * 16_000, np.float32) if options else None
    times = [0, 1, 2, *range(63, 80)]
    info = probe(render(f"still{suffix}", times=times, rate=1, sound=sound, container_options=options))
    assert info.duration == pytest.approx(80.0, abs=0.1)
    assert info.clock.plain


def test_one_damaged_bit_is_not_hours_of_film(render: Renderer, tmp_path: Path, packets: Packets) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    path = render("h.mp4", frames=20, rate=10, options={"bf": "2"}, container_options=fragments)
    with av.open(str(faults.with_a_far_picture(path))) as container:
        assert max(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size) > 1000
    info = probe(path)
    assert info.duration == pytest.approx(2.0, abs=0.11)
    assert len(list(read_frames(path))) == 8
    assert len(packets(copy(path, tmp_path / "out.mp4"))) == 20


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_two_frames_in_one_millisecond(render: Renderer, tmp_path: Path, packets: Packets, suffix: str) -> None:
    path = faults.fast(render)
    with av.open(str(path)) as container:
        assert len({packet.pts for packet in container.demux(video=0) if packet.size}) < 600
    assert probe(path).duration == pytest.approx(0.5, abs=1e-3)
    assert packets(copy(path, tmp_path / f"out{suffix}")) == packets(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packets_without_time_stamps(tmp_path: Path, packets: Packets, suffix: str) -> None:
    path = faults.raw_stream(tmp_path / "raw.h264")
    info = probe(path)
    assert info.duration == pytest.approx(2.0, abs=1e-6)
    levels = [picture.mean() for picture in read_pictures(path)]
    assert len(levels) == 8
    assert levels == sorted(levels)
    target = copy(path, tmp_path / f"out{suffix}")
    assert len(packets(target)) == 50
    assert picture_times(target) == pytest.approx(even(50, 25), abs=1.1e-3)
    np.testing.assert_allclose([picture.mean() for picture in read_pictures(target)], levels, atol=1)


def test_out_of_order_and_without_time_stamps(tmp_path: Path) -> None:
    """They can be looked at, since a decoder puts them in order, but not copied."""
    path = faults.raw_stream(tmp_path / "raw.h264", b_frames=2)
    levels = [picture.mean() for picture in read_pictures(path)]
    assert len(levels) == 8
    assert levels == sorted(levels)
    with pytest.raises(
        MediaError, match=f"cannot copy the pictures of {path}: they carry no time stamps and are not in the order"
    ):
        copy(path, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [path]


def test_one_packet_without_time_stamps(tmp_path: Path, packets: Packets) -> None:
    path = faults.without_first_stamps(faults.segment(tmp_path / "first.ts"))
    assert probe(path).duration == pytest.approx(2.0, abs=0.1)
    assert len(packets(copy(path, tmp_path / "out.mp4"))) == 50


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_a_thumbnail_before_the_film(render: Renderer, tmp_path: Path, packets: Packets, suffix: str) -> None:
    path = faults.thumbnail_first(tmp_path / f"thumbfirst{suffix}", render(frames=8))
    info = probe(path)
    assert (info.codec, info.width, info.height, info.duration) == ("h264", 64, 48, pytest.approx(2.0, abs=1e-3))
    assert len(packets(copy(path, tmp_path / "out.mp4"))) == 8


@pytest.mark.parametrize("fault", [IndexError("a"), TypeError("b"), ValueError("c"), OSError(5, "Input/output error")])
def test_whatever_is_raised_while_a_file_is_read_is_one_error(render: Renderer, fault: Exception) -> None:
    path = render()
    with pytest.raises(MediaError, match=f"^reading {path} failed: ") as caught, open_input(path):
        raise fault
    assert caught.value.__cause__ is fault


def test_refused_files_stay_open_no_longer(render: Renderer, tmp_path: Path) -> None:
    odd = render("odd.mkv")
    odd.write_bytes(odd.read_bytes().replace(b"Lavf", b"L\xe9v\xff"))
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(5000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        probe(odd)
        with pytest.raises(MediaError):
            probe(noise)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
