"""What probe says about a file, and what it refuses."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsgen.errors import MediaError
from mdsgen.media import frame_count, probe, sample_count


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
def test_facts_of_every_container(render, suffix):
    path = render(f"video{suffix}", frames=10, rate=5, size=(64, 48), sound=np.zeros(16_000))
    info = probe(path)
    assert (info.path, info.width, info.height, info.rotation) == (path, 64, 48, 0)
    assert info.duration == pytest.approx(2.0, abs=1e-3)
    assert info.has_audio


@pytest.mark.parametrize(
    ("suffix", "codec", "name"),
    [
        (".mp4", "libx264", "h264"),
        (".mp4", "mpeg4", "mpeg4"),
        (".mkv", "libvpx", "vp8"),
        (".webm", "libvpx-vp9", "vp9"),
        (".avi", "mjpeg", "mjpeg"),
        (".avi", "libx264", "h264"),
    ],
)
def test_codec_by_its_own_name(render, suffix, codec, name):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    info = probe(render(f"video{suffix}", codec=codec, pix_fmt=pix_fmt, frames=12, rate=6))
    assert info.codec == name
    assert info.duration == pytest.approx(2.0, abs=1e-3)
    assert not info.has_audio


def test_variable_frame_rate_lasts_until_its_last_frame_ends(render):
    info = probe(render(times=[0, 0.1, 0.15, 1.0, 2.5], rate=10))
    with av.open(str(info.path)) as container:
        last = max((packet for packet in container.demux(video=0) if packet.size), key=lambda packet: packet.pts)
    assert last.pts * last.time_base == 2.5
    if last.duration:  # else the muxer did not say, and an average frame is as good a guess as any
        assert info.duration == float((last.pts + last.duration) * last.time_base)
    assert 2.5 < info.duration < 3.2


def test_duration_that_no_header_gives(render):
    live = render("live.webm", frames=30, rate=10, container_options={"live": "1"})
    with av.open(str(live)) as container:
        assert container.duration is None
    assert probe(live).duration == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_odd_start_counts_as_start_and_not_as_duration(render, suffix):
    info = probe(render(f"late{suffix}", offset=5.0))
    assert info.start == pytest.approx(5.0, abs=1e-3)
    assert info.duration == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(
    ("matrix", "rotation", "shape"),
    [
        ((1, 0, 0, 1), 0, (64, 48)),
        ((0, 1, -1, 0), 90, (48, 64)),
        ((-1, 0, 0, -1), 180, (64, 48)),
        ((0, -1, 1, 0), 270, (48, 64)),
    ],
)
def test_rotation(render, turn, matrix, rotation, shape):
    info = probe(turn(render(), matrix))
    assert (info.rotation, info.width, info.height) == (rotation, *shape)


@pytest.mark.parametrize(("rate", "frames"), [(1, 3), (120, 240)])
def test_slow_and_fast(render, rate, frames):
    assert probe(render(rate=rate, frames=frames)).duration == pytest.approx(frames / rate, abs=1e-6)


def test_no_such_file(tmp_path):
    with pytest.raises(MediaError, match=r"^no such file: .*absent\.mp4$"):
        probe(tmp_path / "absent.mp4")


def test_a_name_too_long(tmp_path):
    with pytest.raises(MediaError, match="cannot read"):
        probe(tmp_path / ("n" * 300 + ".mp4"))


def test_a_folder(tmp_path):
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello " * 500, bytes(5000), np.random.default_rng(0).bytes(5000)])
@pytest.mark.parametrize("name", ["file.mp4", "file.txt", "file"])
def test_not_a_video(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"cannot read .* as a video|is a text file|no moving pictures") as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_sound_without_pictures(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
    with pytest.raises(MediaError, match="holds no moving pictures"):
        probe(path)


def test_cover_art_is_no_video(render, tmp_path):
    path = render("cover.mp4", codec="mjpeg", pix_fmt="yuvj420p", frames=1, sound=np.zeros(16_000))
    song = tmp_path / "song.mp4"
    with av.open(str(path)) as source, av.open(str(song), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        track = output.add_stream("aac", rate=16_000, layout="mono")
        for frame in source.decode(video=0):
            frame.pts, frame.time_base = 0, Fraction(1, 1)
            output.mux(cover.encode(frame))
        output.mux(cover.encode(None))
        source.seek(0)
        for frame in source.decode(audio=0):
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    with pytest.raises(MediaError, match="holds no moving pictures"):
        probe(song)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_single_frame_is_refused(render, suffix):
    with pytest.raises(MediaError, match="holds a single frame"):
        probe(render(f"still{suffix}", frames=1))


def test_an_image_is_refused(tmp_path):
    path = tmp_path / "image.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match="single frame"):
        probe(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_zero_frames(render, suffix):
    with pytest.raises(MediaError, match=r"no picture that can be decoded|cannot read|no moving pictures"):
        probe(render(f"empty{suffix}", frames=0, sound=np.zeros(1600)))


def test_frames_that_cannot_be_decoded(render):
    path = render("broken.mp4", frames=8)
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in spans:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="no picture that can be decoded"):
        probe(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(render):
    path = render()
    path.chmod(0)
    with pytest.raises(MediaError, match="cannot read"):
        probe(path)


def test_a_name_that_looks_like_a_protocol(render):
    assert probe(render("http:video.mp4")).duration == 2.0


@pytest.mark.parametrize(
    ("start", "duration", "remaining"), [(0.0, None, 2.0), (0.5, None, 1.5), (0.5, 1.0, 1.0), (1.5, 9.0, 0.5)]
)
def test_remaining(render, start, duration, remaining):
    assert probe(render()).remaining(start, duration) == remaining


@pytest.mark.parametrize(("start", "duration"), [(-1, None), (2.0, None), (math.nan, None), (0, 0), (0, math.nan)])
def test_remaining_refuses_what_lies_outside(render, start, duration):
    with pytest.raises(MediaError, match=r"lies outside|must be positive|must be a number of seconds, not nan"):
        probe(render()).remaining(start, duration)


@given(st.floats(min_value=0.001, max_value=100_000))
def test_counts_follow_the_duration(duration):
    assert abs(sample_count(duration) - duration * 16_000) <= 0.5
    assert frame_count(duration, 4) == max(1, math.floor(duration * 4 + 0.5))
