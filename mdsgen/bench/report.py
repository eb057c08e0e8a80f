"""What was measured, under which conditions, as one document and as a page to read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mdsgen.bench.conditions import conditions
from mdsgen.bench.measure import Measurement


@dataclass(frozen=True)
class Report:
    """``settings`` are what was asked for; ``figures`` are further results per measurement, ``totals`` over all."""

    measured: str
    settings: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=conditions)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; seconds and bytes."""
        return {
            "measured": self.measured,
            "conditions": {**self.machine, **self.settings},
            "results": {
                name: {**measurement.to_dict(), **{k: _finite(v) for k, v in self.figures.get(name, {}).items()}}
                for name, measurement in self.measurements.items()
            },
            "totals": dict(self.totals),
        }

    def page(self) -> str:
        """Conditions, a table in milliseconds, and the totals."""
        facts: list[tuple[str, ...]] = [
            (name, _words(value)) for name, value in {**self.machine, **self.settings}.items()
        ]
        totals: list[tuple[str, ...]] = [(name, _words(value)) for name, value in self.totals.items()]
        sections: list[list[tuple[str, ...]]] = [facts, list(self._table()), totals]
        return "\n\n".join("\n".join(_aligned(rows)) for rows in sections if rows)

    def _table(self) -> Iterator[tuple[str, ...]]:
        further = list(dict.fromkeys(name for figures in self.figures.values() for name in figures))
        yield (self.measured, "median ms", "p95", "min", "runs", *further)
        for name, found in self.measurements.items():
            times = (f"{1000 * seconds:.1f}" for seconds in (found.median, found.p95, found.minimum))
            figures = self.figures.get(name, {})
            extra = (f"{figures[column]:.2f}" if column in figures else "" for column in further)
            yield (name, *times, str(len(found.seconds)), *extra)


def _finite(figure: float) -> float | None:
    """None where JSON has no word for it: infinitely many decibels are equality."""
    return figure if math.isfinite(figure) else None


def _words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.3f}"
    return "not installed" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Rows as columns, each as wide as its longest cell; figures to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [
            cell.rjust(width) if len(widths) > 2 else cell for cell, width in zip(others, widths[1:], strict=True)
        ]
        yield "  ".join(cells).rstrip()
