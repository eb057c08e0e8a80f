"""Damaged videos through everything but the networks: probed, decoded, copied, their sound read and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media import VideoInfo, read_pictures, read_sound, sample_count
from mdsgen.runtime import render
from mdsgen.sampling import Sampling
from tests.fuzz.kind import Kind
from tests.fuzz.mutations import EDGES, mutated

BASES: dict[str, tuple[str, str | None, dict[str, str]]] = {
    "h264.mp4": ("libx264", "aac", {}),
    "fragments.mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "front.mov": ("mpeg4", "pcm_s16le", {"movflags": "faststart"}),
    "h264.mkv": ("libx264", "aac", {}),
    "vp8.webm": ("libvpx", "libopus", {}),
    "live.webm": ("libvpx-vp9", None, {"live": "1"}),
    "mpeg4.avi": ("mpeg4", "pcm_s16le", {}),
    "h264.ts": ("libx264", "mp2", {}),
    "mpeg2.mpg": ("mpeg2video", "mp2", {}),
    "h264.flv": ("libx264", "aac", {}),
    "jpeg.avi": ("mjpeg", None, {}),
    "raw.h264": ("libx264", None, {}),
    "small.gif": ("gif", None, {}),
}
FORMATS = {"mjpeg": "yuvj420p", "gif": "rgb8"}
RATE, FRAMES, SIZE = 25, 25, (64, 48)
BOXES = tuple(
    b"moov trak mdia stbl stts ctts stsc stsz stco mdhd mvhd tkhd elst trun tfdt tfhd moof mdat avcC esds stsd ftyp "
    b"idx1 strh strf movi".split()
)


class Fuzz(Kind):
    """Some containers and codecs, each damaged in its bytes or in a box's numbers."""

    count = 10_000

    def prepare(self, folder: Path) -> None:
        for name, (codec, sound, options) in BASES.items():
            if codec in av.codecs_available and (sound is None or sound in av.codecs_available):
                _film(folder / name, codec, sound, options)

    def open(self, folder: Path) -> None:
        self._bases = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        self._pipeline: Any = _Silent()

    def make(self, random: Random, scratch: Path) -> Path:
        name, data = random.choice(self._bases)
        path = scratch / name
        path.write_bytes(mutated(data, random, (_box_number, _box_number)))
        return path

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        target = scratch / f"out{random.choice(('.mp4', '.mkv', '.mov', '.wav'))}"
        render(self._pipeline, path, target, duration=random.choice((None, 0.5)))
        return [target]

    def check(self, result: Path) -> None:
        with av.open(str(result)) as container:
            assert container.streams.audio, "no sound"
            packets = {stream.index: 0 for stream in container.streams}
            for packet in container.demux():
                packets[packet.stream.index] += bool(packet.size)
            assert all(packets.values()), f"packets by stream: {packets}"


class _Silent:
    """Looks at all pictures and the sound, as a pipeline does, and generates silence."""

    def stream(
        self, info: VideoInfo, sampling: Sampling | None, *, start: float, duration: float | None, **_: Any
    ) -> Iterator[np.ndarray]:
        left = sample_count(info.remaining(start, duration))
        if not left:
            raise MediaError(f"{info.path} holds no sample of sound")  # as a pipeline does
        for picture in read_pictures(info, 4, 224, start=start, duration=duration):
            assert picture.shape == (224, 224, 3)
        if info.has_audio:
            assert sum(map(len, read_sound(info, start=start, duration=duration)))
        while left > 0:
            yield np.zeros(min(left, SAMPLE_RATE), np.float32)
            left -= SAMPLE_RATE


def _box_number(data: bytearray, random: Random) -> None:
    """The size of a box, or one of the numbers behind its name."""
    found = [at for name in BOXES if (at := data.find(name)) >= 4]
    if found:
        at = random.choice(found) + random.choice((-4, -4, 4, 8, 12, 16, 20, 24))
        if at + 4 <= len(data):
            data[at : at + 4] = random.choice((*EDGES, random.getrandbits(32))).to_bytes(4, "big")


def _film(path: Path, codec: str, sound: str | None, options: dict[str, str]) -> None:
    muxer = "h264" if path.suffix == ".h264" else None
    with av.open(str(path), "w", format=muxer, container_options=options) as output:
        stream: Any = output.add_stream(codec, rate=RATE, options={"g": "10", "bf": "2"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, FORMATS.get(codec, "yuv420p")
        if path.suffix == ".h264":
            stream.max_b_frames = 0
        track: Any = output.add_stream(sound, rate=48_000, layout="mono") if sound else None
        packets = [
            packet for index in [*range(FRAMES), None] for packet in stream.encode(_picture(index, stream.pix_fmt))
        ]
        if track is not None:
            packets += _sound(track)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            output.mux(packet)


def _picture(index: int | None, pix_fmt: str) -> Any:
    if index is None:
        return None
    across, down = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    grey = ((across * (3 + index) + down * 5) % 256).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24").reformat(format=pix_fmt)
    frame.pts, frame.time_base = index, Fraction(1, RATE)
    return frame


def _sound(track: Any) -> list[Any]:
    packets: list[Any] = []
    samples = track.codec_context.frame_size or 1024
    for first in range(0, 48_000 * FRAMES // RATE, samples):
        tone = 8000 * np.sin(np.arange(first, first + samples) / 20)
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), first
        packets += track.encode(frame)
    return packets + list(track.encode(None))
