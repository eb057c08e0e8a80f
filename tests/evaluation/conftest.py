"""A few held-out scenes, rendered and judged once."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation import Clip, Evaluation, evaluate, thumbnails
from mdsgen.geometry import DEMO
from mdsgen.scenes import KINDS, sample_scene


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Two scenes of every kind, drawn at the judge's own size."""
    scenes = [sample_scene(50_000 + seed, kind, DEMO.duration) for seed in range(2) for kind in KINDS]
    return [Clip(scene, thumbnails(scene.frames(112, 32, 4))) for scene in scenes]


@pytest.fixture(scope="session")
def evaluation(clips: list[Clip]) -> Evaluation:
    """Of the real sound, a third quieter and with hiss on it, in place of a generator's."""
    rng = np.random.default_rng(0)
    hiss = 0.002 * rng.standard_normal(DEMO.samples, dtype=np.float32)
    return evaluate(clips, [0.66 * clip.sound + hiss for clip in clips], threads=1)
