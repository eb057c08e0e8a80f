"""A small file that is the old one or the new one, never half of either."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Put ``text`` into a file in place of what it holds: it is written beside, and then takes the file's place.

    Raises :class:`OSError` where that is not possible; the file is then as it was.
    """
    path = path.resolve()  # through a link, so that the link stays
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
