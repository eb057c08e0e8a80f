"""The clip on which an export is verified: a window of any video, or a rendered one where none is named."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from mdsgen.geometry import FRAME_SIZE, Geometry
from mdsgen.media import prepare_frames, probe, read_frames
from mdsgen.scenes import sample_scene

_SCENE = 204  # the seed of the sample clip: two balls of different materials


def verification_frames(geometry: Geometry, video: Path | None = None) -> np.ndarray:
    """One window of frames, float32 ``[F, 3, 224, 224]`` in 0..1; a short video's last frame is repeated."""
    if video is None:
        return prepare_frames(sample_scene(_SCENE, "bounce").frames(FRAME_SIZE, geometry.video_frames))
    info = probe(video)
    seen = read_frames(info, duration=min(info.duration, geometry.duration))
    frames = np.stack(list(islice(seen, geometry.video_frames)))
    missing = geometry.video_frames - len(frames)
    return np.concatenate([frames, frames[-1:].repeat(missing, axis=0)])
