"""The clip on which an export is verified: a window of any video, or a rendered one where none is named."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from mdsgen.geometry import Geometry
from mdsgen.media import prepare_frames, probe, read_frames
from mdsgen.scenes import Scene, sample_scene

_SCENE = 204  # the seed of the sample clip: two balls of different materials


def verification_frames(geometry: Geometry, video: Path | None = None) -> np.ndarray:
    """One window of frames, float32 ``[F, 3, size, size]`` in 0..1; a short video's last frame is repeated."""
    if video is None:
        return scene_frames(sample_scene(_SCENE, "bounce"), geometry)
    info = probe(video)
    duration = min(info.duration, geometry.duration)
    seen = read_frames(info, geometry.frame_rate, geometry.frame_size, duration=duration)
    frames = np.stack(list(islice(seen, geometry.video_frames)))
    missing = geometry.video_frames - len(frames)
    return np.concatenate([frames, frames[-1:].repeat(missing, axis=0)])


def scene_frames(scene: Scene, geometry: Geometry) -> np.ndarray:
    """The frames of a scene's first window, float32 ``[F, 3, size, size]`` in 0..1."""
    pictures = scene.frames(geometry.frame_size, geometry.video_frames, geometry.frame_rate)
    return prepare_frames(pictures, geometry.frame_size)
