"""Real video files, rendered by PyAV into a test's own folder."""

from __future__ import annotations

import resource
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media.apart import APART, apart

RATE = 16_000
CODECS = {
    ".ts": "mpeg2video",
    ".mp4": "libx264",
    ".mkv": "libx264",
    ".mov": "libx264",
    ".webm": "libvpx-vp9",
    ".avi": "mpeg4",
}
SOUND = {".mp4": "aac", ".webm": "libopus"}
TICKS = 12_000
"""Time stamps per second of a rendered video; AVI and MPEG-2 count frames."""


def grey(level: float, size: tuple[int, int]) -> np.ndarray:
    """A flat picture, uint8 [height, width, 3]."""
    return np.full((size[1], size[0], 3), round(level), dtype=np.uint8)


class Renderer:
    """Writes videos into ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str = "video.mp4", *, codec: str | None = None, **how: Any) -> Path:
        """The video that :meth:`write` makes of it; by codecs that are run apart, so."""
        codec = codec or CODECS[Path(name).suffix]
        if codec not in av.codecs_available:
            pytest.skip(f"this build of PyAV has no encoder {codec}")
        write = partial(self.write, self.folder / name, codec, **how)
        return apart(write) if codec in APART else write()

    def write(
        self,
        path: Path,
        codec: str,
        *,
        picture: Callable[[int], np.ndarray] | None = None,
        frames: int = 8,
        rate: int = 4,
        times: Sequence[float | Fraction] | None = None,
        size: tuple[int, int] = (64, 48),
        offset: float = 0.0,
        pix_fmt: str = "yuv420p",
        sound: np.ndarray | None = None,
        sound_offset: float = 0.0,
        sound_codec: str | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        """A video of ``frames`` frames at ``rate`` per second, or one frame at each of ``times``, begun at ``offset``.

        ``picture`` gives frame i as uint8 [height, width, 3]; ``sound`` is 16 kHz mono, begun at ``sound_offset``.
        """
        times = [Fraction(i, rate) for i in range(frames)] if times is None else times
        ticks = rate if path.suffix in (".avi", ".ts") else TICKS
        picture = picture or (lambda index: grey(40 + 160 * index / max(1, len(times) - 1), size))
        with av.open(str(path), "w", container_options=container_options or {}) as output:
            stream = output.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
            track = self._sound_track(output, path, sound_codec) if sound is not None else None
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=pix_fmt)
                frame.time_base = Fraction(1, ticks)
                frame.pts = round((Fraction(offset) + Fraction(time)) * ticks)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
            if track is not None and sound is not None:
                self._sound(output, track, sound, sound_offset)
        return path

    @staticmethod
    def _sound_track(output: av.container.OutputContainer, path: Path, codec: str | None) -> av.AudioStream:
        codec = codec or SOUND.get(path.suffix, "pcm_s16le")
        return output.add_stream(codec, rate=48_000 if codec == "libopus" else RATE, layout="mono")

    @staticmethod
    def _sound(output: av.container.OutputContainer, track: av.AudioStream, sound: np.ndarray, offset: float) -> None:
        for first in range(0, sound.size, 1024):
            block = sound[first : first + 1024].astype(np.float32)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = round(offset * RATE) + first
            output.mux(track.encode(frame))
        output.mux(track.encode(None))


@pytest.fixture
def render(tmp_path: Path) -> Renderer:
    """Renders a video into ``tmp_path / "in"``."""
    folder = tmp_path / "in"
    folder.mkdir()
    return Renderer(folder)


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix (a, b, c, d in whole units) into the first track header of an MP4 or MOV file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # version 0: fields of fixed length before the matrix
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.fixture(name="turn")
def _turn() -> Callable[[Path, tuple[int, int, int, int]], Path]:
    return turn


@pytest.fixture
def packets() -> Callable[[Path], list[bytes]]:
    """The picture packets of a file, as bytes."""

    def read(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]

    return read


@pytest.fixture
def sound_packets() -> Callable[[Path], list[list[bytes]]]:
    """The packets of each sound track of a file, as bytes."""

    def read(path: Path) -> list[list[bytes]]:
        with av.open(str(path)) as container:
            tracks: list[list[bytes]] = [[] for _ in container.streams]
            for packet in container.demux(container.streams.audio):
                tracks[packet.stream.index] += [bytes(packet)] if packet.size else []
            return [tracks[stream.index] for stream in container.streams.audio]

    return read


@pytest.fixture
def heard() -> Callable[[Path], np.ndarray]:
    """The sound of a file, float32 [samples] from time 0 on, as PyAV decodes it."""

    def read(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            frames = list(container.decode(container.streams.audio[0]))
            blocks = [block for frame in [*frames, None] for block in resampler.resample(frame)]
            start = round(frames[0].pts * frames[0].time_base * RATE)
        sound = np.concatenate([block.to_ndarray()[0] for block in blocks])
        return np.pad(sound, (start, 0)) if start > 0 else sound[-start:]

    return read


@pytest.fixture
def file_size_limit() -> Callable[[int], AbstractContextManager[None]]:
    """Files cannot grow beyond so many bytes: what a full disk does, without one."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return limit
