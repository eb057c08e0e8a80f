"""Which weight files an ONNX graph refers to, read from its bytes without the onnx package.

A graph of an untrusted bundle may name any file of the machine, or an address in memory: what it names has to be in
the manifest. Only what leads to a tensor's location is looked at; everything else, inline weights above all, is
stepped over.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from mdsgen.errors import BundleError

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "model", "graph", "node", "attribute", "tensor"
_SPARSE, _FUNCTION, _TRAINING, _EXTERNAL = "sparse tensor", "function", "training", "external data"
_INSIDE: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _EXTERNAL},
}
"""onnx.proto: of each message the numbers of the fields that lead to external data, and what they hold."""

_KEY, _VALUE = 1, 2
_LOCATION = b"location"  # the key whose value is the file
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # protobuf's wire types
_DEEPEST = 100  # as protobuf's own readers


def external_files(path: str | os.PathLike[str]) -> frozenset[str]:
    """The locations of external data in an ONNX file, as they stand there.

    Raises :class:`BundleError` for what is no ONNX file.
    """
    path = Path(path)
    found: set[str] = set()
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _find_locations(data, 0, len(data), _MODEL, 0, found)
    except (ValueError, IndexError) as error:  # mmap's word for an empty file, too
        raise BundleError(f"{path} is no ONNX file: {error}") from error
    return frozenset(found)


def _find_locations(data: mmap.mmap, start: int, end: int, kind: str, depth: int, found: set[str]) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} messages in each other")
    inside = _INSIDE[kind]
    for number, first, last in _fields(data, start, end):
        message = inside.get(number)
        if message == _NODE and data.find(_LOCATION, first, last) < 0:
            continue  # most of a graph are nodes that hold no tensor
        if message == _EXTERNAL:
            found.update(_location(data, first, last))
        elif message is not None:
            _find_locations(data, first, last, message, depth + 1, found)


def _location(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """The value of the entry whose key is ``location``; of a field that comes twice the last one counts."""
    entry = {number: data[first:last] for number, first, last in _fields(data, start, end)}
    if entry.get(_KEY) == _LOCATION:
        yield os.fsdecode(entry.get(_VALUE, b""))


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and end of each field of a message that holds bytes; numbers are stepped over."""
    position = start
    while position < end:
        tag = data[position]
        if tag < 0x80:  # as nearly all are: a call for each would take three times as long
            position += 1
        else:
            tag, position = _varint(data, position, end)
        wire = tag & 7
        if wire == _BYTES:
            length = data[position]
            if length < 0x80:
                position += 1
            else:
                length, position = _varint(data, position, end)
            if length > end - position:
                raise ValueError("it is cut off")
            yield tag >> 3, position, position + length
            position += length
        elif wire == _VARINT:
            _, position = _varint(data, position, end)
        elif wire in (_EIGHT, _FOUR):
            position += 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"byte {position - 1} begins nothing")
    if position > end:
        raise ValueError("it is cut off")


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """A whole number in protobuf's form, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("it is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"byte {position - 1} ends no number")
