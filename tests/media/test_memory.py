"""How much memory a film takes: that of a few pictures, however long it is and however large they are."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av

from tests.media.conftest import grey

SIZE = (3840, 2160)
PICTURE = SIZE[0] * SIZE[1] * 3 // 2 // 1024
"""Kilobytes of a decoded picture."""


def uhd_film(path: Path, frames: int) -> Path:
    """One JPEG, shown ``frames`` times at four a second: encoding as many would take longer than the test."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=4, options={"strict": "unofficial"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        picture = av.VideoFrame.from_ndarray(grey(90, SIZE), format="rgb24").reformat(format="yuvj420p")
        (jpeg,) = (bytes(packet) for packet in [*stream.encode(picture), *stream.encode(None)])
        for index in range(frames):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 4), True
            packet.pts = packet.dts = index
            output.mux(packet)
    return path


def peak(program: str, *arguments: object) -> int:
    """The most memory that a Python program takes, in kilobytes.

    Not ``ru_maxrss``: a process inherits that from the one that started it.
    """
    report = 'print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])'
    command = [sys.executable, "-c", f"import re, sys\n{program}\n{report}", *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)


READ = """
from mdsgen.media import read_frames
assert sum(1 for _ in read_frames(sys.argv[1], 4, 224)) == int(sys.argv[2])
"""

PREPARE = """
import numpy as np
from mdsgen.media import scaled_pictures
film = np.broadcast_to(np.full((1, 2160, 3840, 3), 90, np.uint8), (int(sys.argv[1]), 2160, 3840, 3))
assert sum(1 for _ in scaled_pictures(film, 224)) == len(film)
"""


def test_a_longer_film_takes_no_more(tmp_path: Path) -> None:
    """Not even until the garbage collector comes: it counts objects, not their bytes, and 4K is 12 MB a picture."""
    short, long = (peak(READ, uhd_film(tmp_path / f"{frames}.mkv", frames), frames) for frames in (15, 45))
    assert long < short + 3 * PICTURE


def test_frames_in_memory_take_no_more_either() -> None:
    assert peak(PREPARE, 30) < peak(PREPARE, 10) + 3 * PICTURE
