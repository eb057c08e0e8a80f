"""Damaged networks under a manifest that is true of them: a sound comes of it, or a refusal that names the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from mdsgen import Pipeline
from mdsgen.bundle import GRAPHS
from tests.altered import altered
from tests.fuzz.kind import Kind
from tests.fuzz.kinds.manifest import BUNDLE, FRAMES
from tests.fuzz.mutations import mutated


class Fuzz(Kind):
    """The small bundle with one graph or its weights damaged, and checksums to match."""

    count = 2000

    def make(self, random: Random, scratch: Path) -> Path:
        graph = random.choice(GRAPHS)
        file = f"{graph}.{random.choice(('onnx', 'onnx', 'onnx', 'weights'))}"
        content = mutated((BUNDLE / file).read_bytes(), random)
        return altered(BUNDLE, scratch / "b", graph, {file: content})

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        with Pipeline.open(path, "onnxruntime", threads=1) as pipeline:
            sound = pipeline(FRAMES, steps=2)
        assert np.isfinite(sound.audio).all()
        return []
