"""Scenes as films show them: at a film's own rate, and some of them compressed.

A video encoder that met nothing but exact pictures would learn the renderer. Here every scene of a training set is
filmed: the pictures are those that a film of some rate has on the screen at the geometry's times, as
:func:`~mdsgen.media.read_frames` picks them, and three in ten went through x264.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from mdsgen.geometry import Geometry
from mdsgen.media import averaged
from mdsgen.scenes import Scene
from mdsgen.scenes.video import REPEATABLE

RATES = (24, 24, 25, 25, 30, 30, 50, 60, 60, 120, 15, 12, 10, 8)
"""Pictures a second of the films, each as likely as it is often in here."""
COMPRESSED = 0.3
"""Share of the films that are compressed."""
_QUALITY = 18, 36  # of x264's constant rate factor: from good to bad
_FILMS = 15_625  # beside the seed, so that films are drawn apart from scenes
_OVERSAMPLING = 2  # pictures are drawn so much larger and averaged, as the encoder averages a film's


def filmed(scene: Scene, geometry: Geometry) -> np.ndarray:
    """The window of a scene as a film has it, uint8 ``[T, size, size, 3]``; which film, the scene's seed decides."""
    rng = np.random.default_rng([scene.seed, _FILMS])
    rate = RATES[rng.integers(len(RATES))]
    size = geometry.picture_size
    pictures = np.stack(list(scene.shots(size * _OVERSAMPLING, rate, shown(rate, geometry))))
    if rng.random() < COMPRESSED:
        pictures = compressed(pictures, int(rng.integers(*_QUALITY)))
    return averaged(pictures, size)


def shown(film_rate: float, geometry: Geometry) -> list[int]:
    """Which picture of a film is on the screen in the middle of each of the geometry's, ``[T]``: the last begun."""
    step = Fraction(film_rate) / Fraction(geometry.frame_rate)
    return [math.ceil((n + Fraction(1, 2)) * step) - 1 for n in range(geometry.video_frames)]


def compressed(pictures: np.ndarray, quality: int) -> np.ndarray:
    """What x264 leaves of ``pictures`` uint8 ``[T, H, W, 3]`` at a constant rate factor."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        options = {"crf": str(quality), "preset": "veryfast", "threads": "1", **REPEATABLE}
        stream: Any = output.add_stream("libx264", rate=16, options=options)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for packets in _encoded(stream, pictures):
            output.mux(packets)
    file.seek(0)
    back: Any
    with av.open(file) as back:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)])


def _encoded(stream: Any, pictures: np.ndarray) -> Iterable[Any]:
    for picture in pictures:
        yield stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
    yield stream.encode(None)
