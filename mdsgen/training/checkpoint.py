"""A training as it stands, kept so that it can go on exactly: data only, read without running any code.

A checkpoint is a PyTorch archive followed by a line with its SHA-256, so that a single changed bit is seen. Archives
without that line, which were written before there was one, still open: their own checks of every entry are made.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

import torch

from mdsgen.errors import TrainingError, writing
from mdsgen.files import whole_file
from mdsgen.geometry import completed
from mdsgen.weights.archive import check_archive, check_entries

_BLOCK = 1 << 20
_SEAL = re.compile(rb"\nmdsgen-sha256:([0-9a-f]{64})\n")
_END, _END_SIZE = b"PK\x05\x06", 22  # of a ZIP directory without a comment
_SEAL_LENGTH = len("\nmdsgen-sha256:\n") + 64


@dataclass(frozen=True)
class Checkpoint:
    """Steps made, the state of the stage, its optimiser and its averaged weights, and the log up to here."""

    step: int
    stage: dict[str, Any]
    optimiser: dict[str, Any]
    ema: dict[str, Any]
    log: str | None = None
    """As a CSV table; None in checkpoints that were written before they kept it."""


def save_checkpoint(path: Path, state: Checkpoint, identity: dict[str, object]) -> None:
    """Write a checkpoint, whole or not at all. ``identity`` says what training it is of.

    Raises :class:`TrainingError` where it cannot be written; the one before is then as it was.
    """
    values = vars(state) | {"identity": json.dumps(identity, sort_keys=True)}
    with writing(path, TrainingError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            with partial.open("wb") as file:
                _save(values, file)
            digest = _sha256(partial, partial.stat().st_size)
            with partial.open("ab") as file:
                file.write(b"\nmdsgen-sha256:%s\n" % digest.encode())


def _save(values: dict[str, Any], file: BufferedWriter) -> None:
    """PyTorch reports a full disk as a position that it did not expect: the disk's own error is raised instead."""
    try:
        torch.save(values, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path, identity: dict[str, object]) -> Checkpoint:
    """Read a checkpoint. Raises :class:`TrainingError` where it is damaged or of a training with another identity."""
    try:
        _check_seal(path)
        check_archive(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
        found = json.loads(values.pop("identity"))
        found.get("settings", {}).pop("compile", None)  # was kept once
        state = Checkpoint(**values)
        expected = json.loads(json.dumps(identity, sort_keys=True))
        changes = difference(found, expected)
    except Exception as error:  # whatever a damaged archive makes the libraries raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise TrainingError(f"{path} is not a checkpoint of a training ({reason}): remove it to start anew") from error
    if changes:
        raise TrainingError(
            f"{path} is of another training ({changes}): go on with that configuration, or choose another folder"
        )
    return state


def _check_seal(path: Path) -> None:
    """Raise :class:`ValueError` where the checksum at the end of a checkpoint is not its own."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _SEAL_LENGTH))
        seal = _SEAL.fullmatch(file.read())
    if seal is not None:
        if _sha256(path, size - _SEAL_LENGTH) != seal[1].decode():
            raise ValueError("its checksum is not that of its content")
        return
    _check_end(path, size)
    check_entries(path)


def _check_end(path: Path, size: int) -> None:
    """An archive without a checksum ends with its directory: what follows it might be a damaged checksum."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_SIZE))
        if not file.read().startswith(_END):
            raise ValueError("its end is damaged or missing")


def _sha256(path: Path, length: int) -> str:
    """Of the first ``length`` bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length and (block := file.read(min(length, _BLOCK))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """What differs between two nested tables of plain values, key by key."""
    flat_found, flat_expected = _flat(completed(found)), _flat(completed(expected))
    names = [name for name in {**flat_found, **flat_expected} if flat_found.get(name) != flat_expected.get(name)]
    return ", ".join(f"{name} was {flat_found.get(name)}, now is {flat_expected.get(name)}" for name in names)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}.{k}": v for k, v in _flat(value).items()} if isinstance(value, dict) else {name: value}
    return flat
