"""Paths as callers give them."""

from __future__ import annotations

import os
from pathlib import Path

from mdsgen.errors import MdsgenError


def checked_path(path: str | os.PathLike[str], kind: type[MdsgenError], what: str) -> Path:
    """As a :class:`Path`. Raises ``kind`` for what no file system could hold; ``what`` is what it should lead to."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise kind(f"expected the path of {what}, got {type(path).__name__}")
    if "\0" in os.fspath(path):
        raise kind(f"expected the path of {what}, got one with a zero byte: {os.fspath(path)!r:.80}")
    return Path(path)
