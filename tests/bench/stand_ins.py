"""Inputs without a video encoder: for what is compared on them, any features will do."""

from __future__ import annotations

import copy
import functools

import numpy as np

from mdsgen.bench.subject import Inputs
from mdsgen.geometry import FEATURE_CHANNELS, PAPER


def new_inputs() -> Inputs:
    """Of the paper's geometry, with random features of unit length, as an encoder leaves them."""
    random = np.random.default_rng(0)
    features = random.standard_normal((1, PAPER.video_frames, FEATURE_CHANNELS), dtype=np.float32)
    return Inputs(PAPER, lambda frames: features / np.linalg.norm(features, axis=-1, keepdims=True))


_rendered = functools.cache(new_inputs)


def paper_inputs() -> Inputs:
    """The same, of which the scene is rendered once; a copy, to be changed."""
    return copy.deepcopy(_rendered())
