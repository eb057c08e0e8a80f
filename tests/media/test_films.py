"""Films as people have them: codecs, containers, rotations and frame rates, and what becomes of each by default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.media import DEFAULT_OUTPUT, choose_suffix, open_writer, probe, sample_count
from tests.media.apart import APART, apart
from tests.media.conftest import turn

NTSC = Fraction(30_000, 1001)
QUIET = {"x265-params": "log-level=none"}


@dataclass(frozen=True)
class Film:
    """A film to be made, and the suffix that its result gets."""

    name: str
    codec: str
    result: str = ".mp4"
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    size: tuple[int, int] = (64, 48)
    frames: int = 12
    turned: tuple[int, int, int, int] | None = None
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        turned = "" if self.turned is None else f"-{self.turned}"
        return f"{self.name}-{self.codec}-{self.pix_fmt}-{float(self.rate):.4g}{turned}"


QUARTER, HALF, THREE_QUARTERS, MIRRORED = (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)
DV = {"rate": NTSC, "size": (720, 480), "frames": 3, "pix_fmt": "yuv411p"}

FILMS = [
    Film("a.mp4", "libx264"),
    Film("a.mp4", "libx264", rate=NTSC),
    Film("a.mp4", "libx264", rate=Fraction(60)),
    Film("a.mp4", "libx264", rate=Fraction(24_000, 1001), options={"bf": "0"}),
    Film("a.mp4", "libx264", rate=Fraction(12), turned=QUARTER),
    Film("a.mp4", "libx264", turned=HALF),
    Film("a.mp4", "libx264", turned=THREE_QUARTERS),
    Film("a.mp4", "libx264", turned=MIRRORED),
    Film("a.mp4", "libx264", pix_fmt="yuv420p10le"),
    Film("a.mp4", "libx264", pix_fmt="yuv444p"),
    Film("a.m4v", "libx264"),
    Film("a.mov", "libx264"),
    Film("a.mov", "libx264", rate=Fraction(240), turned=QUARTER),
    Film("a.mkv", "libx264"),
    Film("a.mkv", "libx264", rate=NTSC),
    Film("a.ts", "libx264"),
    Film("a.mts", "libx264", rate=Fraction(50)),
    Film("a.flv", "libx264"),
    Film("a.3gp", "libx264"),
    Film("a.avi", "libx264"),
    Film("a.nut", "libx264"),
    Film("a.h264", "libx264", options={"bf": "0"}),
    Film("a.mp4", "libx265", size=(64, 64), options=QUIET),
    Film("a.mov", "libx265", size=(64, 64), options=QUIET, turned=THREE_QUARTERS),
    Film("a.mkv", "libx265", size=(64, 64), options=QUIET, rate=NTSC),
    Film("a.ts", "libx265", size=(64, 64), options=QUIET),
    Film("a.mp4", "libsvtav1", size=(64, 64)),
    Film("a.mkv", "libsvtav1", size=(64, 64)),
    Film("a.webm", "libsvtav1", size=(64, 64)),
    Film("a.webm", "libvpx-vp9"),
    Film("a.mkv", "libvpx-vp9", rate=NTSC),
    Film("a.webm", "libvpx-vp9", ".webm", pix_fmt="yuva420p"),
    Film("a.webm", "libvpx", ".webm"),
    Film("a.webm", "libvpx", ".webm", rate=Fraction(60)),
    Film("a.mkv", "libvpx", ".mkv"),
    Film("a.avi", "mpeg4"),
    Film("a.mp4", "mpeg4"),
    Film("a.mkv", "mpeg4", rate=Fraction(15)),
    Film("a.3gp", "mpeg4", turned=QUARTER),
    Film("a.mpg", "mpeg2video"),
    Film("a.vob", "mpeg2video"),
    Film("a.ts", "mpeg2video", rate=NTSC),
    Film("a.m2ts", "mpeg2video"),
    Film("a.mxf", "mpeg2video"),
    Film("a.m2v", "mpeg2video"),
    Film("a.mpg", "mpeg1video"),
    Film("a.avi", "mjpeg", pix_fmt="yuvj420p"),
    Film("a.mov", "mjpeg", pix_fmt="yuvj420p", rate=Fraction(10)),
    Film("a.3gp", "h263", ".3gp", size=(128, 96)),
    Film("a.mov", "prores_ks", ".mov", pix_fmt="yuv422p10le"),
    Film("a.mov", "prores_ks", ".mov", pix_fmt="yuva444p10le"),
    Film("a.mkv", "prores_ks", ".mkv", pix_fmt="yuv422p10le"),
    Film("a.mov", "qtrle", ".mov", pix_fmt="rgb24"),
    Film("a.mov", "png", pix_fmt="rgba"),
    Film("a.mov", "rawvideo", ".mov", pix_fmt="rgb24"),
    Film("a.wmv", "wmv2", ".wmv"),
    Film("a.wmv", "wmv1", ".wmv", rate=Fraction(15)),
    Film("a.asf", "msmpeg4", ".wmv"),
    Film("a.avi", "msmpeg4", ".avi"),
    Film("a.flv", "flv", ".flv"),
    Film("a.avi", "dvvideo", ".avi", **DV),
    Film("a.dv", "dvvideo", ".mkv", **DV),
    Film("a.gif", "gif", ".mkv", pix_fmt="rgb8", rate=Fraction(10)),
    Film("a.avi", "huffyuv", ".avi", pix_fmt="yuv422p"),
    Film("a.avi", "utvideo", ".avi"),
    Film("a.avi", "rawvideo", ".avi"),
]
CONTAINERS = {".m2ts": "mpegts", ".mts": "mpegts", ".m4v": "mp4"}


def make(film: Film, folder: Path) -> Path:
    path = folder / film.name
    width, height = film.size
    with av.open(str(path), "w", format=CONTAINERS.get(path.suffix)) as output:
        stream = output.add_stream(film.codec, rate=film.rate, options=film.options)
        stream.width, stream.height, stream.pix_fmt = width, height, film.pix_fmt
        for index in range(film.frames):
            picture = np.random.default_rng(index).integers(0, 255, (height, width, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=film.pix_fmt)
            frame.pts, frame.time_base = index, 1 / film.rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path if film.turned is None else turn(path, film.turned)


def units(data: bytes, length_prefixed: bool) -> Iterator[bytes]:
    """The NAL units of a packet of H.264 or HEVC, which containers separate by start codes or by lengths."""
    while length_prefixed and data:
        size = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + size].rstrip(b"\0")
        data = data[4 + size :]
    if not length_prefixed:
        yield from (unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0"))


def picture_packets(path: Path) -> list[list[bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        if stream.codec_context.name not in ("h264", "hevc"):
            return [[packet] for packet in packets]
        is_prefixed = (stream.codec_context.extradata or b"\0")[0] == 1
        is_hevc = stream.codec_context.name == "hevc"
    return [[unit for unit in units(packet, is_prefixed) if not is_parameter_set(unit, is_hevc)] for packet in packets]


def is_parameter_set(unit: bytes, is_hevc: bool) -> bool:
    """Whether a unit is one of those that MP4 keeps in the header of the stream, with HEVC's remarks of the encoder."""
    return unit[0] >> 1 & 63 in (32, 33, 34, 39) if is_hevc else unit[0] & 31 in (7, 8)


@pytest.mark.parametrize("film", FILMS, ids=str)
def test_a_result_that_plays_with_the_source_s_packets(film: Film, tmp_path: Path) -> None:
    if film.codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {film.codec}")
    path = apart(make, film, tmp_path) if film.codec in APART else make(film, tmp_path)
    suffix, reason = choose_suffix(path, DEFAULT_OUTPUT)
    assert (suffix, reason is None) == (film.result, film.result == ".mp4")
    info, target = probe(path), tmp_path / f"result{suffix}"
    sound = np.full(sample_count(info.duration), 0.1, np.float32)
    with open_writer(target, info, duration=info.duration) as writer:
        writer.write(sound)
    assert picture_packets(target) == picture_packets(path)
    again = probe(target)
    assert (again.width, again.height, again.rotation) == (info.width, info.height, info.rotation)
    assert again.has_audio
    assert again.duration == pytest.approx(film.frames / film.rate, abs=0.1)
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == film.frames
    with av.open(str(target)) as container:
        samples = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert samples == pytest.approx(info.duration, abs=0.15)
