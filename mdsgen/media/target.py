"""The file that a result is written to: there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mdsgen.errors import MediaError, writing
from mdsgen.files import whole_file


@contextmanager
def fresh_file(target: Path, source: Path | None) -> Iterator[Path]:
    """A new empty file beside ``target`` that takes its place when the block ends well, and is removed otherwise.

    It has a hidden name and the same suffix. Raises :class:`MediaError` where ``target`` cannot be written or is
    ``source``.
    """
    check_target(target, source)
    with ExitStack() as stack:
        with writing(target, MediaError):
            temporary = stack.enter_context(whole_file(target))
        yield temporary
        with writing(target, MediaError):
            stack.close()


def check_target(target: Path, source: Path | None) -> None:
    """Raise :class:`MediaError` where ``target`` is, or lies, where no file can be, or is ``source``."""
    with writing(target, MediaError):  # a name that is too long, a folder that may not be looked into
        _check(target, source)


def _check(target: Path, source: Path | None) -> None:
    if target.is_dir():
        raise MediaError(f"cannot write {target}: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise MediaError(f"cannot write {target}: there is no folder {target.parent}")
    try:
        target.stat()
    except FileNotFoundError:
        return
    if source is not None and source.exists() and target.samefile(source):  # whoever reads it says that it is not there
        raise MediaError(f"cannot write {target}: it is the video that is read; name another file")
    if not target.is_file() or not os.access(target, os.W_OK):
        raise MediaError(f"cannot write {target}: it is there already, and not a file that may be written")
