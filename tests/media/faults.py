"""Small films whose time stamps or streams are not what they should be, made from whole ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media.conftest import RATE, Renderer, grey

SOUND_RATE = 48_000


def segment(
    path: Path, *, frames: int = 50, rate: int = 25, since: int = 0, sound: np.ndarray | None = None, b_frames: int = 2
) -> Path:
    """A transport stream of H.264, ``frames`` at ``rate``, its clock begun at ``since`` seconds.

    ``sound`` is 48 kHz mono, and begins with the pictures.
    """
    with av.open(str(path), "w", options={"muxdelay": "0"}) as output:
        stream = output.add_stream("libx264", rate=rate, options={"g": "25", "bf": str(b_frames), "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = output.add_stream("mp2", rate=SOUND_RATE, layout="mono") if sound is not None else None
        packets = []
        for index in [*range(frames), None]:
            frame = None if index is None else _picture(index, frames, since * rate, Fraction(1, rate))
            packets += list(stream.encode(frame))
        if track is not None and sound is not None:
            packets += list(_encoded(track, sound, since))
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def _picture(index: int, frames: int, first: int, unit: Fraction) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(grey(20 + 200 * index / frames, (64, 48)), format="rgb24")
    picture = picture.reformat(format="yuv420p")
    picture.pts, picture.time_base = first + index, unit
    return picture


def _encoded(track: av.AudioStream, sound: np.ndarray, since: int) -> Iterator[av.Packet]:
    for first in range(0, sound.size, 1152):
        block = (32767 * sound[first : first + 1152]).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        frame.pts = since * SOUND_RATE + first
        yield from track.encode(frame)
    yield from track.encode(None)


def joined(path: Path, *parts: Path) -> Path:
    """Files one behind the other, as ``cat`` joins them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def without_first_stamps(path: Path) -> Path:
    """Take PTS and DTS from the first picture packet of a transport stream: its PES header says that it has none."""
    data = bytearray(path.read_bytes())
    header = data.index(b"\0\0\1\xe0")
    assert data[header + 7] & 0xC0
    data[header + 7] &= 0x3F
    data[header + 9 : header + 9 + data[header + 8]] = b"\xff" * data[header + 8]  # stuffing
    path.write_bytes(data)
    return path


def with_a_far_picture(path: Path) -> Path:
    """Set the highest bit of one picture's composition offset in a fragmented MP4: it is shown hours later."""
    data = bytearray(path.read_bytes())
    run = data.index(b"trun")
    (flags,) = struct.unpack_from(">I", data, run + 4)
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    assert fields[-1] == 0x800
    first = run + 12 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    data[first + 4 * (2 * len(fields) - 1)] ^= 0x08
    path.write_bytes(data)
    return path


def raw_stream(path: Path, *, frames: int = 50, b_frames: int = 0) -> Path:
    """H.264 without a container, as cameras of small computers write it: 25 pictures a second, no time stamps."""
    with av.open(str(path), "w", format="h264") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": str(b_frames), "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            output.mux(stream.encode(_picture(index, frames, 0, Fraction(1, 25))))
        output.mux(stream.encode(None))
    return path


def thumbnail_first(path: Path, film: Path) -> Path:
    """A MOV file whose first picture stream is a JPEG of one frame, and whose second is ``film``'s."""
    with av.open(str(film)) as source, av.open(str(path), "w") as output:
        thumbnail = output.add_stream("mjpeg", rate=4)
        thumbnail.width, thumbnail.height, thumbnail.pix_fmt = 160, 120, "yuvj420p"
        thumbnail.disposition = 0
        stream = output.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        small = av.VideoFrame.from_ndarray(grey(255, (160, 120)), format="rgb24").reformat(format="yuvj420p")
        output.mux(thumbnail.encode(small))
        output.mux(thumbnail.encode(None))
        for frame in source.decode(video=0):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def fast(render: Renderer) -> Path:
    """Matroska of 1200 frames per second: it counts milliseconds."""
    return render("fast.mkv", frames=600, rate=1200, size=(32, 32), options={"bf": "0", "preset": "ultrafast"})


def bursts(seconds: float, at: list[float]) -> np.ndarray:
    """48 kHz, silent but for a tone of 0.1 s at each time of ``at``."""
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    sounding = sum(((time >= begin) & (time < begin + 0.1)).astype(np.float32) for begin in at)
    return np.asarray(0.5 * sounding * np.sin(2 * np.pi * 1000 * time), np.float32)


def onsets(sound: np.ndarray) -> list[float]:
    """The seconds at which :func:`bursts` begin in 16 kHz sound, to the hundredth."""
    power = np.abs(sound[: sound.size // 160 * 160]).reshape(-1, 160).max(axis=1) > 0.1
    return [round(float(index) * 160 / RATE, 2) for index in np.flatnonzero(power & ~np.roll(power, 1))]
