"""Debian's ``gst-launch-1.0`` with the element in it, as the documentation has it, and what came of it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.integrations import GSTREAMER_PATH
from mdsgen.runtime import Live
from tests.children import finished

MUXED = """filesrc location={film} ! qtdemux ! h264parse ! tee name=pictures
    pictures. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! file.
    pictures. ! queue ! avdec_h264 ! videoconvert ! mdsgen {settings} ! audioconvert ! {encoder} ! queue ! file.
    mp4mux name=file ! filesink location={target}"""
"""The documentation's line for a film with sound, whose pictures are copied."""


def environment(folder: Path) -> dict[str, str]:
    """As a shell has it in which the virtual environment is active, and GStreamer knows of the element."""
    return {
        **os.environ,
        "GST_PLUGIN_PATH": str(GSTREAMER_PATH),
        "GST_REGISTRY": str(folder / "registry.bin"),
        "VIRTUAL_ENV": sys.prefix,
    }


def require_elements(environment: dict[str, str], *names: str) -> None:
    """Skip where GStreamer does not find one."""
    inspect = shutil.which("gst-inspect-1.0")
    if inspect is None:
        pytest.skip("gst-launch-1.0 is not installed")
    for name in names:
        if finished([inspect, "--exists", name], env=environment).returncode:
            pytest.skip(f"GStreamer has no {name} here")


def launch(line: str, environment: dict[str, str], **words: object) -> str:
    """Run a line to its end, and return what it printed."""
    ran = finished(["gst-launch-1.0", "-q", *shlex.split(line.format(**words))], env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def picture_times(film: Path) -> list[float]:
    """When the pictures of a file appear, in seconds."""
    with av.open(str(film)) as container:
        return sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None)


def heard(film: Path) -> np.ndarray:
    """The sound of a file from second 0 on as a player hears it, 16 kHz mono."""
    with av.open(str(film)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    start = round(float(frames[0].pts * frames[0].time_base) * SAMPLE_RATE)
    sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return sound[-start:] if start < 0 else np.concatenate([np.zeros(start, np.float32), sound])


def sound_of(film: Path, live: Live) -> np.ndarray:
    """What a film is to sound like from its first picture on, without GStreamer."""
    with live, av.open(str(film)) as container:
        pictures = ((frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0))
        blocks = [block for time, picture in pictures for block in live.push(picture, time)]
        return np.concatenate([*blocks, live.finish()])


def lags(sound: np.ndarray, expected: np.ndarray, piece: int = SAMPLE_RATE) -> Iterator[tuple[float, float]]:
    """By how many milliseconds a sound comes later than expected, and how alike it is, piece by piece."""
    reach = SAMPLE_RATE // 5
    for begin in range(reach, min(len(sound), len(expected)) - piece - reach, piece):
        wanted = expected[begin : begin + piece]
        around = sound[begin - reach : begin + piece + reach]
        likeness = np.correlate(around, wanted, "valid") / max(1e-9, float(wanted @ wanted))
        best = int(likeness.argmax())
        yield 1000 * (best - reach) / SAMPLE_RATE, float(likeness[best])
