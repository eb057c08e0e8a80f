"""A scene as a real film: H.264 pictures and, unless it is to be silent, AAC sound in an MP4 file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.media import open_writer, probe
from mdsgen.media.container import muxing
from mdsgen.media.target import fresh_file
from mdsgen.scenes.scene import SIZE, Scene

REPEATABLE = {"x264-params": "cpu-independent=1"}
"""Options with which x264 makes the same of the same pictures; what it chooses for a processor differs now and then."""


def write_video(
    scene: Scene,
    path: str | os.PathLike[str],
    frame_rate: float = 25,
    size: int = SIZE,
    *,
    silent: bool = False,
    quality: int = 23,
) -> None:
    """Write ``scene`` to ``path``, an ``.mp4`` of ``size`` × ``size`` pixels: whole, or not at all.

    ``quality`` is x264's constant rate factor: less is better and bigger. Raises :class:`SettingsError` for another
    kind of file and an odd size, and :class:`MediaError` where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise SettingsError(f"cannot write {path}: expected a name that ends in .mp4")
    if size % 2:
        raise SettingsError(f"cannot write {path}: H.264 takes pictures of an even size, not {size}")
    film, rate = scene.film(size, frame_rate), Fraction(frame_rate).limit_denominator(1001)
    pictures = islice(film, round(scene.duration * rate))
    options = {"crf": str(quality), **REPEATABLE}
    with muxing(path):
        if silent:
            with fresh_file(path, None) as file:
                _encode(pictures, file, rate, size, options)
            return
        with TemporaryDirectory() as folder:
            _encode(pictures, Path(folder) / "pictures.mp4", rate, size, options)
            info = probe(Path(folder) / "pictures.mp4")
            with open_writer(path, info, duration=min(scene.duration, info.duration)) as writer:
                writer.write(scene.sound(writer.samples))


def _encode(pictures: Iterable[np.ndarray], file: Path, rate: Fraction, size: int, options: dict[str, str]) -> None:
    with av.open(f"file:{file}", "w", format="mp4", options={"movflags": "+faststart"}) as output:
        stream: Any = output.add_stream("libx264", rate=rate, options=options)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
