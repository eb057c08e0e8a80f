"""Damaged datasets: a training takes a step on them, or they are refused."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch

from mdsgen.training.shards import Shards, describe
from tests.fuzz.kind import Kind
from tests.fuzz.mutations import mutated
from tests.training.datasets import TINY, write_clips, write_latents
from tests.training.small_stages import trainer

DTYPES = ("f2", "f4", "f8", ">f4", "i2", "u1", "i8", "?", "c8", "U3", "S2", "M8[s]", "f4,f4")
DESCRIPTIONS = ("", "3", "[]", "null", '{"geometry": 3}', "[" * 50_000, '{"a": 1e999}', "\ud800", "{" * 9)


class Fuzz(Kind):
    """Clips and latents with a file of bytes, of another array, or of another description."""

    count = 600

    def prepare(self, folder: Path) -> None:
        write_clips(folder / "autoencoder")
        write_latents(folder / "denoiser")

    def open(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self._folder = folder

    def make(self, random: Random, scratch: Path) -> Path:
        dataset = scratch / "dataset"
        shutil.copytree(self._folder / random.choice(("autoencoder", "denoiser")), dataset)
        file = random.choice(sorted(path for path in dataset.rglob("*") if path.is_file()))
        how = random.choice(("bytes", "bytes", "other", "empty", "gone", "folder"))
        if how == "bytes":
            file.write_bytes(mutated(file.read_bytes(), random))
        elif how == "other":
            file.write_bytes(_description(random) if file.suffix == ".json" else _array(np.load(file), random))
        elif how == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
            if how == "folder":
                file.mkdir()
        return dataset

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        work = scratch / "work"
        try:
            clips = Shards(path)
            trainer("denoiser" if "latent" in clips.fields else "autoencoder", clips, work).fit(until=1)
            _ = clips.description
            describe(path, {"geometry": TINY.to_dict()})
        finally:
            for folder in (path, work):
                if not list(folder.rglob(".mdsgen-*")):  # the worker finds those
                    shutil.rmtree(folder, ignore_errors=True)
        return []


def _array(values: np.ndarray, random: Random) -> bytes:
    """The same clips as another type or in another shape."""
    if random.random() < 0.5:
        values = np.zeros(values.shape, random.choice(DTYPES))
    else:
        shapes = ((0, *values.shape[1:]), values.shape[:1], (), (*values.shape, 1), (1, *values.shape[1:]), (2, 0))
        values = np.zeros(random.choice(shapes), values.dtype)
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _description(random: Random) -> bytes:
    other = json.dumps({"geometry": TINY.to_dict() | {"width": random.choice((0, -1, 1 << 40, "x"))}})
    return random.choice((*DESCRIPTIONS, other)).encode("utf-8", "surrogatepass")
