"""What is trained on: clips in shards of memory-mapped arrays, any number of fields side by side.

A dataset is a folder of shards, ``00000``, ``00001`` and so on, and each shard holds one ``.npy`` file per field, clips
first. A shard is written to the side and renamed, so that one that is there is whole and an interrupted preparation
goes on where it stopped.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsgen import files
from mdsgen.errors import DatasetError, writing
from mdsgen.files import sweep, whole_folder, write_whole
from mdsgen.geometry import completed
from mdsgen.report import Pace, Report, silent

SHARD_CLIPS = 256
"""Clips of a shard."""

_DESCRIPTION = "dataset.json"


def shard_path(folder: Path, index: int) -> Path:
    """Where the ``index``-th shard of a dataset lies."""
    return folder / f"{index:05d}"


def write_shard(
    folder: Path, index: int, fields: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None
) -> None:
    """Write one shard, whole or not at all. All fields are ``[clips, ...]`` with the same number of clips.

    A shard may also hold nothing but ``notes``, texts by file name, which :class:`Shards` passes over. Raises
    :class:`DatasetError` for numbers that are not finite, and where it cannot be written.
    """
    lengths = {name: len(values) for name, values in fields.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"the fields of a shard must have equally many clips, not {lengths}")
    final = shard_path(folder, index)
    if broken := [
        name for name, values in fields.items() if values.dtype.kind == "f" and not np.isfinite(values).all()
    ]:
        raise DatasetError(f"{final} would hold NaN or infinite numbers in {', '.join(broken)}")
    with writing(final, DatasetError), whole_folder(final) as shard:
        for name, values in fields.items():
            np.save(shard / f"{name}.npy", values)
        for name, text in (notes or {}).items():
            (shard / name).write_bytes(as_utf8(text))


@dataclass(frozen=True)
class Derivation:
    """How a dataset is made from the first ``count`` clips of another one, ``clips``.

    ``make`` gives the fields of the clips of some numbers, ``batch`` at most; ``made_by`` is what decides them, as
    plain values. ``done`` says what was done to a shard.
    """

    clips: Shards
    count: int
    made_by: Mapping[str, Any]
    make: Callable[[range], Mapping[str, np.ndarray]]
    batch: int
    done: str


def derive(derivation: Derivation, folder: Path, *, shard_clips: int = SHARD_CLIPS, report: Report = silent) -> None:
    """Write the shards that are not there yet.

    Raises :class:`DatasetError` where those that are there were made from other clips, or by something else.
    """
    source, count, make, batch = derivation.clips.description, derivation.count, derivation.make, derivation.batch
    made_from = {"geometry": source.get("geometry"), "clips": source, "shard": shard_clips}
    describe(folder, {**made_from, **derivation.made_by})
    starts = range(0, count, shard_clips)
    pace = Pace(sum(shard_path(folder, number).exists() for number in range(len(starts))))
    for number, start in enumerate(starts):
        if shard_path(folder, number).exists():
            continue
        end = min(start + shard_clips, count)
        parts = [make(range(i, min(i + batch, end))) for i in range(start, end, batch)]
        write_shard(folder, number, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        report(pace.line(number + 1, len(starts), f"shards {derivation.done}"))


def as_utf8(text: str) -> bytes:
    """A text with file names in it, which may be anything, in UTF-8: what cannot be is written as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace")


def describe(folder: Path, description: Mapping[str, Any]) -> None:
    """Keep what the dataset was made from; :attr:`Shards.description` reads it back.

    A description that is no longer readable, because the power went, is written again, and what killed processes left
    in the folder is removed. Raises :class:`DatasetError` where the folder holds a dataset made from something else.
    """
    path = folder / _DESCRIPTION
    with writing(path, DatasetError):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        expected = json.loads(json.dumps(description))
        found = _read_description(path)
        if completed(found) == completed(expected):
            return
        if found is None:
            write_whole(path, json.dumps(expected, indent=2, sort_keys=True))
            return
    raise DatasetError(f"{folder} holds a dataset made from something else (see {path.name}): choose another folder")


def _read_description(path: Path) -> dict[str, Any] | None:
    """None where there is none, or what is there is not one."""
    try:
        description = json.loads(path.read_text("utf-8")) if path.exists() else None
    except (ValueError, RecursionError):
        return None
    return description if isinstance(description, dict) else None


def sha256(path: Path) -> str:
    """The checksum of a file that a dataset was made with. Raises :class:`DatasetError` where it cannot be read."""
    try:
        return files.sha256(path)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


class Shards:
    """A dataset opened for reading: ``len(shards)`` clips, addressed across all shards by one number.

    Raises :class:`DatasetError` where there is none, or where the shards do not have the same fields.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            paths = [path for path in sorted(folder.glob("[0-9]" * 5)) if path.is_dir()]
        except OSError as error:
            raise DatasetError(f"{folder} cannot be read: {error.strerror}") from error
        shards = {path: _open_shard(path) for path in paths}
        shards = {path: arrays for path, arrays in shards.items() if arrays}
        if not shards:
            raise DatasetError(f"{folder} holds no clips: make them with mdsgen-train prepare")
        self._arrays = list(shards.values())
        self.fields = tuple(sorted(self._arrays[0]))
        for path, arrays in shards.items():
            if tuple(sorted(arrays)) != self.fields:
                raise DatasetError(f"{path} holds {sorted(arrays)}, the first shard {list(self.fields)}")
            for name, (dtype, shape) in _formats(arrays).items():
                first = _formats(self._arrays[0])[name]
                if (dtype, shape) != first:
                    raise DatasetError(
                        f"{path} has {name} as {dtype} {shape}, the first shard as {first[0]} {first[1]}"
                    )
        lengths = [len(arrays[self.fields[0]]) for arrays in self._arrays]
        self._ends = list(itertools.accumulate(lengths))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def description(self) -> dict[str, Any]:
        """What the dataset was made from, as :func:`describe` kept it."""
        path = self.folder / _DESCRIPTION
        try:
            description = _read_description(path)
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
        if description is None:
            raise DatasetError(f"{path} is missing or damaged: the command that made the dataset writes it again")
        return description

    def require(self, *fields: str) -> None:
        """Raise :class:`DatasetError` where one of the fields is missing."""
        missing = [field for field in fields if field not in self.fields]
        if missing:
            raise DatasetError(f"{self.folder} has no {' and no '.join(missing)}: it holds {', '.join(self.fields)}")

    def require_formats(self, formats: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        """Raise :class:`DatasetError` where a field is there but not in this format: kind and shape of one clip."""
        for name, (dtype, shape) in _formats(self._arrays[0]).items():
            kind, expected = formats.get(name, (np.dtype(dtype).kind, shape))
            if np.dtype(dtype).kind != kind or shape != expected:
                raise DatasetError(f"{self.folder} has {name} as {dtype} {shape}: expected {expected} of kind {kind!r}")

    def clip(self, field: str, index: int) -> np.ndarray:
        """One field of one clip; a view of the file, to be copied before it is changed."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        values = self._arrays[shard][field]
        found: np.ndarray = values[index - self._ends[shard] + len(values)]
        return found

    def batch(self, field: str, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """One field of several clips, ``[len(indices), ...]``, copied."""
        return np.stack([self.clip(field, index) for index in indices])


def _formats(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Number type and shape of one clip of every field."""
    return {name: (str(values.dtype), values.shape[1:]) for name, values in arrays.items()}


def _open_shard(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard, memory-mapped: none is larger than its file."""
    try:
        arrays = {file.stem: np.lib.format.open_memmap(file, mode="r") for file in sorted(path.glob("*.npy"))}
        _check_arrays(arrays)
    except Exception as error:  # whatever a damaged header makes NumPy raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DatasetError(f"the shard {path} cannot be read: {reason}") from error
    return dict(arrays)


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf" or not values.dtype.isnative:
            raise ValueError(f"{name} holds {values.dtype}, not numbers of this machine")
        if not values.ndim or not len(values):
            raise ValueError(f"{name} holds no clip")
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"its fields have {lengths} clips")
