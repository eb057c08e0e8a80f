"""Damaged manifests: the bundle opens and gives a sound, or is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mdsgen import Pipeline
from mdsgen.bundle import MANIFEST_FILE
from tests.fuzz.kind import Kind
from tests.fuzz.mutations import mutated

BUNDLE = Path(__file__).parents[2] / "fixtures" / "bundle"
FRAMES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 1 << 31, 1 << 63, -(1 << 63), 10**400, 0.0, -2.5, 1e-300, 1e308),
    *("", "x", "fp16", "float16", "vocoder.onnx", "vocoder.weights", "../x", "/etc/passwd", "a\0b", "é" * 200),
    *("x" * 300, "y" * 1_000_000, [], {}, [1], [[1]], [1, 2, 3, 4], {"a": 1}, ["steps", 4]),
)


class Fuzz(Kind):
    """The small bundle's manifest with bytes changed, or other values, fields gone, or fields under other names."""

    count = 4000

    def prepare(self, folder: Path) -> None:
        shutil.copytree(BUNDLE, folder / "bundle")

    def open(self, folder: Path) -> None:
        self._bundle = folder / "bundle"
        self._text = (self._bundle / MANIFEST_FILE).read_bytes()

    def make(self, random: Random, scratch: Path) -> Path:
        path = scratch / "b"
        path.mkdir()
        for file in self._bundle.iterdir():
            if file.name != MANIFEST_FILE:
                os.link(file, path / file.name)
        text = mutated(self._text, random) if random.random() < 0.25 else self._edited(random)
        (path / MANIFEST_FILE).write_bytes(text)
        return path

    def _edited(self, random: Random) -> bytes:
        values = json.loads(self._text)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            holder, key = random.choice(list(_places(values)))
            edit = random.randrange(5)
            if edit == 0:
                del holder[key]
            elif edit == 1 and isinstance(holder, dict):
                holder[random.choice(("", "file", "data", "z" * 300))] = holder.pop(key)
            elif edit == 2 and isinstance(holder[key], int | float):
                holder[key] = random.choice((-1, 0.5, 2, 1000)) * holder[key]
            else:
                holder[key] = random.choice(VALUES)
        return json.dumps(values).encode()

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        with Pipeline.open(path, "onnxruntime", threads=1, verify=random.random() < 0.5) as pipeline:
            sound = pipeline(FRAMES, steps=1)
        assert np.isfinite(sound.audio).all()
        return []


def _places(value: Any) -> Any:
    """Every place in it that holds a value: its holder and the key there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
