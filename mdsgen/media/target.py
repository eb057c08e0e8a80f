"""A file that is there whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdsgen.errors import MediaError


@contextmanager
def fresh_file(target: Path, source: Path | None) -> Iterator[Path]:
    """A new empty file beside ``target`` that takes its place when the block ends well, and is removed otherwise.

    It has a hidden name and the same suffix. Raises :class:`MediaError` where ``target`` cannot be written or is
    ``source``.
    """
    try:
        _check(target, source)
        target = target.resolve()  # through a link, so that the link stays
        temporary = target.with_name(f".mdsgen-{secrets.token_hex(4)}{target.suffix}")
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise MediaError(f"cannot write {target}: {error.strerror}") from error
    try:
        yield temporary
        try:
            temporary.replace(target)
        except OSError as error:
            raise MediaError(f"cannot write {target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check(target: Path, source: Path | None) -> None:
    if target.is_dir():
        raise MediaError(f"cannot write {target}: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise MediaError(f"cannot write {target}: there is no folder {target.parent}")
    if not target.exists():
        return
    if source is not None and target.samefile(source):
        raise MediaError(f"cannot write {target}: it is the video that is read; name another file")
    if not target.is_file() or not os.access(target, os.W_OK):
        raise MediaError(f"cannot write {target}: it is there already, and not a file that may be written")
