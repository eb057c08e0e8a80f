"""One network of a bundle: its files, what proves that they are whole, and the tensors that it takes and gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mdsgen.bundle.fields import Fields
from mdsgen.errors import BundleError
from mdsgen.tensor import TensorSpec

MANIFEST_FILE = "manifest.json"
"""The manifest's file name inside the bundle, which no other file may take."""
_LONGEST_NAME = 255  # bytes, on all common file systems
DTYPES = frozenset(
    ["float16", "float32", "float64", "bool"] + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
"""NumPy's names for what a tensor of a graph may hold."""


@dataclass(frozen=True)
class DataFile:
    """One file of a bundle, with its SHA-256 and its length. The name is a plain one: a bundle is untrusted input."""

    file: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        _check_file(self.file, self.sha256, self.bytes)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: object, where: str = "data") -> DataFile:
        fields = Fields(values, where)
        return cls(fields.take("file", str), fields.take("sha256", str), fields.take("bytes", int))


@dataclass(frozen=True)
class Graph:
    """One network: its file, its inputs and outputs, and the weight files that the graph's file refers to.

    ``data`` are ONNX's external data; two graphs may share such a file.
    """

    file: str
    sha256: str
    bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[DataFile, ...] = ()

    def __post_init__(self) -> None:
        _check_file(self.file, self.sha256, self.bytes)
        _check_specs(f"inputs of {self.file}", self.inputs)
        _check_specs(f"outputs of {self.file}", self.outputs)

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The graph's own file, then its weight files."""
        return DataFile(self.file, self.sha256, self.bytes), *self.data

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "inputs": [_spec_to_dict(spec) for spec in self.inputs],
            "outputs": [_spec_to_dict(spec) for spec in self.outputs],
            "data": [part.to_dict() for part in self.data],
        }

    @classmethod
    def from_dict(cls, values: object, where: str = "graph") -> Graph:
        fields = Fields(values, where)
        return cls(
            file=fields.take("file", str),
            sha256=fields.take("sha256", str),
            bytes=fields.take("bytes", int),
            inputs=tuple(_spec_from_dict(spec, place) for place, spec in fields.elements("inputs")),
            outputs=tuple(_spec_from_dict(spec, place) for place, spec in fields.elements("outputs")),
            data=tuple(DataFile.from_dict(part, place) for place, part in fields.elements("data")),
        )


def _check_file(file: str, sha256: str, length: int) -> None:
    plain = not re.search(r"[/\\:\x00-\x1f]", file) and len(file.encode(errors="replace")) <= _LONGEST_NAME
    if file in ("", ".", "..", MANIFEST_FILE) or not plain:
        raise BundleError(f"manifest field 'file' must be a plain file name inside the bundle, not {file!r:.80}")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BundleError(f"manifest field 'sha256' of {file} must be 64 lower-case hex digits, not {sha256!r:.80}")
    if length < 0:
        raise BundleError(f"manifest field 'bytes' of {file} must not be negative, not {length}")


def _check_specs(what: str, specs: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in specs]
    if not specs or "" in names or len(set(names)) < len(names):
        raise BundleError(
            f"manifest field {what!r} must hold one or more tensors of different names, not {names!r:.80}"
        )
    for spec in specs:
        if spec.dtype not in DTYPES:
            raise BundleError(f"manifest field {what!r}: {spec.name} has the unknown dtype {spec.dtype!r:.80}")
        if not all(_is_length(length) for length in spec.shape):
            raise BundleError(
                f"manifest field {what!r}: every length of {spec.name} must be 1 or more, or the name of one chosen at "
                f"run time, not {list(spec.shape)!r:.80}"
            )


def _is_length(length: object) -> bool:
    if isinstance(length, str):
        return length != ""
    return isinstance(length, int) and not isinstance(length, bool) and 1 <= length < 2**31


def _spec_to_dict(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def _spec_from_dict(values: object, where: str) -> TensorSpec:
    fields = Fields(values, where)
    return TensorSpec(fields.take("name", str), fields.take("dtype", str), tuple(fields.take("shape", list)))
