"""Inputs without a video encoder: for what is compared on them, any features will do."""

from __future__ import annotations

import numpy as np

from mdsgen.bench.subject import Inputs
from mdsgen.geometry import FEATURE_CHANNELS, PAPER


def paper_inputs() -> Inputs:
    """Of the paper's geometry, with random features of unit length, as an encoder leaves them."""
    random = np.random.default_rng(0)
    features = random.standard_normal((1, PAPER.video_frames, FEATURE_CHANNELS), dtype=np.float32)
    return Inputs(PAPER, lambda frames: features / np.linalg.norm(features, axis=-1, keepdims=True))
