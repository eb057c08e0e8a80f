"""Every kind of source into every container: a film that plays, or one clear line before anything is computed."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import FORMATS, open_writer, probe, sample_count
from tests.media.test_films import QUIET, THREE_QUARTERS, Film, make, picture_packets

IN_ORDER = {"bf": "0"}
HEVC_IN_ORDER = {"x265-params": "log-level=none:bframes=0"}
HEVC = {"size": (64, 64), "frames": 10}
NOT_ALL = ".mp4 .mkv .mov .flv .3gp"  # that hold pictures in another order than they are decoded in

TARGETS = [
    (Film("a.mp4", "libx264", options=IN_ORDER, frames=10), ".mp4 .mkv .mov .avi .flv .wmv .3gp"),
    (Film("a.mkv", "libx264", options=IN_ORDER, frames=10), ".mp4 .mkv .mov .avi .flv .wmv .3gp"),
    (Film("a.ts", "libx264", options=IN_ORDER, frames=10), ".mp4 .mkv .mov .avi .flv .wmv .3gp"),
    (Film("a.mp4", "libx264", frames=10), NOT_ALL),
    (Film("a.mkv", "libx264", frames=10), NOT_ALL),
    (Film("a.ts", "libx264", frames=10), NOT_ALL),
    (Film("a.avi", "libx264", frames=10), ".mp4 .mkv .mov .avi .flv .wmv .3gp"),
    (Film("a.mp4", "libx265", options=HEVC_IN_ORDER, **HEVC), ".mp4 .mkv .mov .avi .flv .wmv"),
    (Film("a.mp4", "libx265", options=QUIET, **HEVC), ".mp4 .mkv .mov .flv"),
    (Film("a.webm", "libvpx-vp9", frames=10), ".mp4 .mkv .webm .avi .flv .wmv"),
    (Film("a.webm", "libvpx", frames=10), ".mkv .webm .avi .wmv"),
    (Film("a.avi", "mpeg4", frames=10), ".mp4 .mkv .mov .avi .wmv .3gp"),
    (Film("a.mov", "mjpeg", pix_fmt="yuvj420p", frames=10), ".mp4 .mkv .mov .avi .wmv"),
    (Film("a.mov", "prores_ks", pix_fmt="yuv422p10le", frames=10), ".mkv .mov .avi"),
    (Film("a.gif", "gif", pix_fmt="rgb8", frames=10), ".mkv .mov"),
    (Film("a.mov", "qtrle", pix_fmt="rgb24", frames=10), ".mov"),
    (Film("a.avi", "utvideo", frames=10), ".mkv .avi .wmv"),
    (Film("a.avi", "rawvideo", frames=10), ".mkv .avi .wmv"),
    (Film("a.mov", "rawvideo", pix_fmt="rgb24", frames=10), ".mov .avi"),
    (Film("a.nut", "rawvideo", frames=10), ""),
    (Film("a.avi", "huffyuv", pix_fmt="yuv422p", frames=10), ".mkv .mov .avi .wmv"),
    (Film("a.mov", "png", pix_fmt="rgba", frames=10), ".mp4 .mkv .mov .avi .wmv"),
]
FILMS = [suffix for suffix, kind in FORMATS.items() if kind.pictures]


@pytest.mark.parametrize(("film", "held"), TARGETS, ids=lambda value: value if isinstance(value, str) else f"{value}")
def test_the_containers_that_hold_a_film(film: Film, held: str, tmp_path: Path) -> None:
    if film.codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {film.codec}")
    path = make(film, tmp_path)
    refusals = {suffix: write(path, tmp_path / f"result{suffix}") for suffix in FILMS}
    assert " ".join(suffix for suffix, refusal in refusals.items() if refusal is None) == held
    for suffix, refusal in refusals.items():
        target = tmp_path / f"result{suffix}"
        if refusal is None:
            assert picture_packets(target) == picture_packets(path)
            with av.open(str(target)) as container:
                assert sum(1 for _ in container.decode(video=0)) == film.frames
        else:
            assert refusal.startswith(f"a {suffix} file cannot hold the {probe(path).codec} pictures of {path}")
            advised = refusal.rpartition("; name a ")[2].split()[0]
            assert advised in (held.split() or [".wav"])
            assert not target.exists()


def test_lossless_pictures_of_which_the_first_is_damaged_are_copied_as_they_are(tmp_path: Path) -> None:
    path = make(Film("a.avi", "png", pix_fmt="rgb24", frames=10), tmp_path)
    ((first,), *_) = picture_packets(path)
    path.write_bytes(path.read_bytes().replace(first, b"\x11" * len(first), 1))
    assert picture_packets(path)[0][0].startswith(b"\x11" * len(first))
    assert write(path, tmp_path / "copy.avi") is None
    assert picture_packets(tmp_path / "copy.avi") == picture_packets(path)


def write(source: Path, target: Path) -> str | None:
    """Why a film is refused when the file is opened; None where it is written."""
    info = probe(source)
    try:
        writer = open_writer(target, info, duration=info.duration)
        opened = writer.__enter__()
    except MediaError as error:
        return str(error)
    opened.write(np.full(sample_count(info.duration), 0.1, np.float32))
    writer.__exit__(None, None, None)
    return None


def test_uneven_pictures_keep_their_times_in_avi(render, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.5, 1.5, 1.51, 1.6, 1.7]
    path, target = render("in.mkv", times=times, options=IN_ORDER), tmp_path / "out.avi"
    assert write(path, target) is None
    with av.open(str(target)) as container:
        found = [float(packet.dts * packet.time_base) for packet in container.demux(video=0) if packet.size]
    assert found == pytest.approx(times, abs=0.002)


def test_what_turns_the_pictures_is_named_where_it_is_left_out(tmp_path: Path) -> None:
    path = make(Film("a.mp4", "libx264", options=IN_ORDER, turned=THREE_QUARTERS), tmp_path)
    info = probe(path)
    notes = {}
    for suffix in (".mp4", ".mkv", ".flv", ".avi"):
        target = tmp_path / f"result{suffix}"
        with open_writer(target, info, duration=info.duration) as writer:
            writer.write(np.zeros(sample_count(info.duration), np.float32))
        notes[suffix] = writer.notes
        assert (probe(target).rotation == info.rotation) == (not writer.notes)
    assert notes[".mp4"] == notes[".mkv"] == []
    assert notes[".avi"] == [f"{tmp_path / 'result.avi'} leaves out: rotation"]
