"""The log of a training as a table that every program reads: one CSV row per report."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Appends rows to ``path``; the first one decides the columns. Rows after ``from_step`` are of a training that was
    interrupted after its last checkpoint: they are dropped, because their steps come again."""

    def __init__(self, path: Path, from_step: int = 0) -> None:
        self.path = path
        rows = _read(path)
        self._columns = list(rows[0]) if rows else []
        kept = [row for row in rows if int(row["step"]) <= from_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            if self._columns:
                writer = csv.DictWriter(file, self._columns)
                writer.writeheader()
                writer.writerows(kept)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row; what was no column in the first row is left out."""
        row = {"step": step} | {name: f"{value:.6g}" for name, value in values.items()}
        with self.path.open("a", newline="") as file:
            if not self._columns:
                self._columns = list(row)
                csv.writer(file).writerow(self._columns)
            csv.DictWriter(file, self._columns, extrasaction="ignore").writerow(row)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("step", "").isdigit()]
