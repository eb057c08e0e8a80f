"""The fields of an untrusted JSON object, each checked as it is taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from mdsgen.errors import BundleError

T = TypeVar("T")

_KINDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", dict: "an object", list: "a list"}


class Fields:
    """One JSON object of a manifest. ``where`` is its place there, for the messages; empty for the manifest itself."""

    def __init__(self, values: object, where: str = "") -> None:
        if not isinstance(values, dict):
            place = f"manifest field {where!r}" if where else "the manifest"
            raise BundleError(f"{place} must be an object, not {type(values).__name__}")
        self.values: dict[str, Any] = values
        self.where = where

    def place(self, name: str) -> str:
        """Where the field ``name`` stands in the manifest: ``"graphs.denoiser.file"``."""
        return f"{self.where}.{name}" if self.where else name

    def take(self, name: str, kind: type[T]) -> T:
        """The field ``name``, which must be there and of this kind; a whole number serves as a float."""
        if name not in self.values:
            raise BundleError(f"manifest field {self.place(name)!r} is missing")
        value: Any = self.values[name]
        if kind is float and type(value) is int and abs(value) < 2**53:  # some writers write 5.0 as 5
            value = float(value)
        huge = type(value) is int and abs(value) >= 2**63
        if huge or not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(f"manifest field {self.place(name)!r} must be {_KINDS[kind]}, not {value!r:.80}")
        return value

    def flag(self, name: str) -> bool:
        """The field ``name``, true or false; false where it is not there, as in what was written before it was."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise BundleError(f"manifest field {self.place(name)!r} must be true or false, not {value!r:.80}")
        return value

    def elements(self, name: str) -> Iterator[tuple[str, object]]:
        """Each element of the list ``name``, after its place in the manifest."""
        for index, value in enumerate(self.take(name, list)):
            yield f"{self.place(name)}[{index}]", value
