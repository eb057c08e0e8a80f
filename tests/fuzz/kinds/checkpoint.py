"""Damaged checkpoints and weights: a training goes on from them, or a network is loaded, or they are refused."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from mdsgen.errors import MdsgenError
from mdsgen.training.recipe import load_recipe
from mdsgen.training.shards import Shards
from mdsgen.training.trained import WEIGHTS, load_vocoder, save_trained
from tests.fuzz.kind import Kind
from tests.fuzz.mutations import mutated
from tests.training.datasets import write_latents
from tests.training.small_stages import trainer

SEAL = 80  # bytes of the checksum at a checkpoint's end
STRANGERS = (None, True, -1, 3, 1 << 70, 2.5, float("nan"), "text", b"bytes", [], {}, [[[]]], {"a": {"b": 1}})


class Fuzz(Kind):
    """The denoiser's checkpoint after two steps, with its checksum, without, and with a true one of what is damaged."""

    count = 800

    def prepare(self, folder: Path) -> None:
        latents = write_latents(folder / "latents")
        trainer("denoiser", latents, folder / "denoiser").fit(until=2)
        recipe = load_recipe("toy")
        (folder / "vocoder").mkdir()
        network = recipe.section("vocoder").build(recipe.geometry).network
        save_trained(folder / "vocoder", "vocoder", network, recipe, 4)

    def open(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self._latents = Shards(folder / "latents")
        self._checkpoint = (folder / "denoiser" / "checkpoint.pt").read_bytes()
        self._log = folder / "denoiser" / "log.csv"
        self._weights = (folder / "vocoder" / WEIGHTS).read_bytes()

    def make(self, random: Random, scratch: Path) -> Path:
        how = random.choice(("sealed", "unsealed", "sealed anew", "sealed anew", "values", "values", "weights", "log"))
        if how == "weights":
            path = scratch / WEIGHTS
            path.write_bytes(mutated(self._weights, random))
            return path
        path, archive = scratch / "checkpoint.pt", self._checkpoint[:-SEAL]
        shutil.copy(self._log, scratch)
        if how == "log":
            (scratch / "log.csv").write_bytes(mutated(self._log.read_bytes(), random))
            path.write_bytes(_without_log(archive))
        elif how == "sealed":
            path.write_bytes(mutated(self._checkpoint, random))
        elif how == "unsealed":
            path.write_bytes(mutated(archive, random))
        else:
            path.write_bytes(_sealed(_changed(archive, random) if how == "values" else mutated(archive, random)))
        return path

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        if path.name == WEIGHTS:
            load_vocoder(scratch)
            return []
        try:
            training = trainer("denoiser", self._latents, scratch)
            training.fit(until=training.step + 1)
        except MdsgenError:
            (scratch / "log.csv").unlink(missing_ok=True)  # what was put there, not left
            raise
        return [file for file in scratch.rglob("*") if not file.name.startswith(".")]


def _sealed(archive: bytes) -> bytes:
    return archive + b"\nmdsgen-sha256:" + hashlib.sha256(archive).hexdigest().encode() + b"\n"


def _without_log(archive: bytes) -> bytes:
    """As it was before checkpoints kept the log."""
    values = torch.load(io.BytesIO(archive), weights_only=True)
    del values["log"]
    return _saved(values)


def _changed(archive: bytes, random: Random) -> bytes:
    """With other values somewhere in it, as a program could write them."""
    values = torch.load(io.BytesIO(archive), weights_only=True)
    for _ in range(random.choice((1, 1, 2, 5))):
        place: Any = values
        while True:
            name = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            inner = place[name]
            if not isinstance(inner, (dict, list)) or not inner or random.random() < 0.1:
                break
            place = inner
        place[name] = _other(inner, random)
    return _saved(values)


def _other(value: Any, random: Random) -> Any:
    if not isinstance(value, torch.Tensor) or random.random() < 0.3:
        return random.choice(STRANGERS)
    shapes = (value[..., None], value.flatten()[:1], torch.zeros(0), torch.zeros(()).expand(1 << 40), value.to("meta"))
    kinds = (value.double(), value.to(torch.int8), value.to(torch.complex64), value * float("nan"), value.to_sparse())
    return random.choice(shapes + kinds)


def _saved(values: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()
