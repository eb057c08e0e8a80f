"""A training as it stands, kept so that it can go on exactly: data only, read without running any code."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mdsgen.errors import TrainingError
from mdsgen.files import whole_file


@dataclass(frozen=True)
class Checkpoint:
    """Steps made, and the state of the stage, its optimiser and its averaged weights."""

    step: int
    stage: dict[str, Any]
    optimiser: dict[str, Any]
    ema: dict[str, Any]


def save_checkpoint(path: Path, state: Checkpoint, identity: dict[str, object]) -> None:
    """Write a checkpoint, whole or not at all. ``identity`` says what training it is of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        torch.save(vars(state) | {"identity": json.dumps(identity, sort_keys=True)}, file)


def load_checkpoint(path: Path, identity: dict[str, object]) -> Checkpoint:
    """Read a checkpoint. Raises :class:`TrainingError` where it is damaged or of a training with another identity."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        found = json.loads(values.pop("identity"))
        state = Checkpoint(**values)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError, EOFError) as error:
        raise TrainingError(f"{path} is not a checkpoint of a training ({error}): remove it to start anew") from error
    expected = json.loads(json.dumps(identity, sort_keys=True))
    if found != expected:
        raise TrainingError(
            f"{path} is of another training ({difference(found, expected)}): go on with that configuration, or choose "
            "another folder"
        )
    return state


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """What differs between two nested tables of plain values, key by key."""
    flat_found, flat_expected = _flat(found), _flat(expected)
    names = [name for name in {**flat_found, **flat_expected} if flat_found.get(name) != flat_expected.get(name)]
    return ", ".join(f"{name} was {flat_found.get(name)}, now is {flat_expected.get(name)}" for name in names)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}.{k}": v for k, v in _flat(value).items()} if isinstance(value, dict) else {name: value}
    return flat
