"""The clip on which an export is verified: a window of any video, or a rendered one where none is named."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from mdsgen.geometry import FRAME_RATE, FRAME_SIZE, Geometry
from mdsgen.media import probe, read_frames
from mdsgen.runtime.frame_window import FrameWindow

_FALL = 1.6  # seconds from one bounce to the next


def verification_frames(geometry: Geometry, video: Path | None = None) -> np.ndarray:
    """One window of frames, float32 ``[F, 3, 224, 224]`` in 0..1; a short video's last frame is repeated."""
    if video is None:
        return bouncing_ball(geometry.video_frames)
    info = probe(video)
    frames = read_frames(info, duration=min(info.duration, geometry.duration))
    return FrameWindow(geometry.video_frames, islice(frames, geometry.video_frames)).advance(0)


def bouncing_ball(frames: int) -> np.ndarray:
    """A shaded ball that bounces over a textured floor: motion, edges and gradients as in a real video."""
    y, x = np.mgrid[0:FRAME_SIZE, 0:FRAME_SIZE].astype(np.float32) / FRAME_SIZE  # [224, 224] each, 0..1
    grain = np.random.default_rng(0).random((FRAME_SIZE, FRAME_SIZE), dtype=np.float32)
    floor = y > 0.8
    scene = np.where(floor, 0.35 + 0.15 * np.sin(60 * x) * np.sin(90 * y), 0.75 - 0.4 * y) + 0.05 * grain
    background = np.stack([scene, 0.9 * scene, 0.8 * scene + 0.1])  # [3, 224, 224]
    video = np.empty((frames, 3, FRAME_SIZE, FRAME_SIZE), np.float32)
    for i in range(frames):
        phase = (i / FRAME_RATE % _FALL) / _FALL  # 0..1 from bounce to bounce
        centre_x, centre_y = 0.2 + 0.6 * i / frames, 0.72 - 2.2 * phase * (1 - phase)
        radius2 = (x - centre_x) ** 2 + (y - centre_y) ** 2
        light = np.clip(1 - 60 * ((x - centre_x + 0.03) ** 2 + (y - centre_y + 0.03) ** 2), 0.2, 1)
        ball = np.stack([light, 0.3 * light, 0.2 * light])
        video[i] = np.where(radius2 < 0.08**2, ball, background)
    return np.clip(video, 0, 1)
