"""What is trained on: clips in shards of memory-mapped arrays, any number of fields side by side.

A dataset is a folder of shards, ``00000``, ``00001`` and so on, and each shard holds one ``.npy`` file per field, clips
first. A shard is written to the side and renamed, so that one that is there is whole and an interrupted preparation
goes on where it stopped.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdsgen import files
from mdsgen.errors import DatasetError
from mdsgen.files import whole_folder, write_whole

_DESCRIPTION = "dataset.json"


def shard_path(folder: Path, index: int) -> Path:
    """Where the ``index``-th shard of a dataset lies."""
    return folder / f"{index:05d}"


def write_shard(
    folder: Path, index: int, fields: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None
) -> None:
    """Write one shard, whole or not at all. All fields are ``[clips, ...]`` with the same number of clips.

    A shard may also hold nothing but ``notes``, texts by file name, which :class:`Shards` passes over.
    """
    lengths = {name: len(values) for name, values in fields.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"the fields of a shard must have equally many clips, not {lengths}")
    with whole_folder(shard_path(folder, index)) as shard:
        for name, values in fields.items():
            np.save(shard / f"{name}.npy", values)
        for name, text in (notes or {}).items():
            (shard / name).write_text(text, "utf-8")


def describe(folder: Path, description: Mapping[str, Any]) -> None:
    """Keep what the dataset was made from; :attr:`Shards.description` reads it back.

    Raises :class:`DatasetError` where the folder holds a dataset made from something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _DESCRIPTION
    text = json.dumps(description, indent=2, sort_keys=True)
    if path.exists() and path.read_text("utf-8") != text:
        raise DatasetError(
            f"{folder} holds a dataset made from something else (see {path.name}): choose another folder"
        )
    write_whole(path, text)


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
        shards = {path: _open_shard(path) for path in sorted(folder.glob("[0-9]" * 5)) if path.is_dir()}
        shards = {path: arrays for path, arrays in shards.items() if arrays}
        if not shards:
            raise DatasetError(f"{folder} holds no clips: make them with mdsgen-train prepare")
        self._arrays = list(shards.values())
        self.fields = tuple(sorted(self._arrays[0]))
        for path, arrays in shards.items():
            if tuple(sorted(arrays)) != self.fields:
                raise DatasetError(f"{path} holds {sorted(arrays)}, the first shard {list(self.fields)}")
        lengths = [len(arrays[self.fields[0]]) for arrays in self._arrays]
        self._ends = list(itertools.accumulate(lengths))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def description(self) -> dict[str, Any]:
        """What the dataset was made from, as :func:`describe` kept it."""
        try:
            description: dict[str, Any] = json.loads((self.folder / _DESCRIPTION).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.folder / _DESCRIPTION} cannot be read: {error}") from error
        return description

    def require(self, *fields: str) -> None:
        """Raise :class:`DatasetError` where one of the fields is missing."""
        missing = [field for field in fields if field not in self.fields]
        if missing:
            raise DatasetError(f"{self.folder} has no {' and no '.join(missing)}: it holds {', '.join(self.fields)}")

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


def _open_shard(path: Path) -> dict[str, np.ndarray]:
    try:
        return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in path.glob("*.npy")}
    except (OSError, ValueError) as error:
        raise DatasetError(f"the shard {path} cannot be read: {error}") from error
