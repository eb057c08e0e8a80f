"""The log of a training as a table that every program reads: one CSV row per report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from mdsgen.errors import TrainingError, writing
from mdsgen.files import write_whole


class Log:
    """Appends rows to ``path``; the first one decides the columns. Rows after ``from_step`` are of a training that was
    interrupted after its last checkpoint: they are dropped, because their steps come again.

    ``kept`` is the log as a checkpoint has it, which the file is made from again; without it the file's own rows are
    taken, as far as they can be read. Raises :class:`TrainingError` where it cannot be written.
    """

    def __init__(self, path: Path, from_step: int = 0, kept: str | None = None) -> None:
        self.path = path
        rows = _rows(_text(path) if kept is None else kept)
        self._columns = list(rows[0]) if rows else []
        self.text = ""
        """The whole table as CSV."""
        if self._columns:
            self.text = _csv([self._columns, *(list(row.values()) for row in rows if int(row["step"]) <= from_step)])
        with writing(path, TrainingError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.text)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row; what was no column in the first row is left out."""
        row = {"step": str(step)} | {name: f"{value:.6g}" for name, value in values.items()}
        head = [] if self._columns else [list(row)]
        self._columns = self._columns or list(row)
        added = _csv([*head, [row.get(name, "") for name in self._columns]])
        self.text += added
        with writing(self.path, TrainingError), self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(added)


def _text(path: Path) -> str:
    with writing(path, TrainingError):
        return path.read_text("utf-8", "replace") if path.exists() else ""


def _rows(text: str) -> list[dict[str, str]]:
    """The whole rows of a table; what is cut off or damaged is left out."""
    try:
        header, *rows = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
    except (csv.Error, ValueError):
        return []
    if "step" not in header or len(set(header)) < len(header):
        return []
    at = header.index("step")
    good = [row for row in rows if len(row) == len(header) and row[at].isascii() and row[at].isdigit()]
    return [dict(zip(header, row, strict=True)) for row in good]


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
