"""A page of which a command writes one part: people write what stands around the marks."""

from __future__ import annotations

import os
from pathlib import Path

from mdsgen.errors import MdsgenError, SettingsError, writing
from mdsgen.files import write_whole

START, END = "<!-- figures -->", "<!-- end of figures -->"
"""The lines between which the command writes."""


class MarkedPage:
    """A text file with :data:`START` and :data:`END`.

    Raises :class:`SettingsError` where it has not one of each, or may not be read or written at all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._around()  # before anything is measured for it
        for needed in (path, path.resolve().parent):  # the new page is written beside, and then takes its place
            if not os.access(needed, os.W_OK):
                raise SettingsError(f"{path} cannot be written: {needed} is read-only for you")

    def write(self, text: str) -> None:
        """Put ``text`` between the marks, in place of what is there; what stands around them is read again."""
        before, after = self._around()
        with writing(self._path, MdsgenError):
            write_whole(self._path, f"{before}{START}\n\n{text.strip()}\n\n{END}{after}")

    def _around(self) -> tuple[str, str]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be read: {error.strerror}") from error
        before, _, rest = text.partition(START)
        _, _, after = rest.partition(END)
        if (text.count(START), text.count(END), rest.count(END)) != (1, 1, 1):
            raise SettingsError(f"{self._path} must have a line {START} and, after it, a line {END}, each of them once")
        return before, after
