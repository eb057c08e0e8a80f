"""What was measured, under which conditions: as one document, as a page to read, and as a chart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdsgen.bench.chart import Bar, bar_chart
from mdsgen.conditions import conditions
from mdsgen.table import aligned
from mdsgen.timing import Measurement

_SHOWN = ("processor", "cores", "onnxruntime", "openvino", "tensorrt", "torch")
"""The machine's facts that a chart has room for."""


@dataclass(frozen=True)
class Report:
    """``settings`` are what was asked for; ``figures`` are further results per measurement, ``totals`` over all.

    ``descriptions`` say of a measurement what was measured, where its name does not; ``notes`` are whole sentences.
    """

    measured: str
    settings: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    totals: Mapping[str, object] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=conditions)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; seconds and bytes."""
        return {
            "measured": self.measured,
            "conditions": {**self.machine, **self.settings},
            "results": {name: self._result(name) for name in self.measurements},
            "totals": dict(self.totals),
            "notes": list(self.notes),
        }

    def _result(self, name: str) -> dict[str, Any]:
        described = {"what": self.descriptions[name]} if name in self.descriptions else {}
        figures = {figure: _finite(value) for figure, value in self.figures.get(name, {}).items()}
        return {**described, **self.measurements[name].to_dict(), **figures}

    def page(self) -> str:
        """Conditions, a table in milliseconds, the totals, and the notes."""
        facts: list[tuple[str, ...]] = [
            (name, _words(value)) for name, value in {**self.machine, **self.settings}.items()
        ]
        described: list[tuple[str, ...]] = list(self.descriptions.items())
        totals: list[tuple[str, ...]] = [(name, _words(value)) for name, value in self.totals.items()]
        notes: list[tuple[str, ...]] = [(note,) for note in self.notes]
        sections: list[list[tuple[str, ...]]] = [facts, described, list(self._table()), totals, notes]
        return "\n\n".join(aligned(rows, figures=len(rows[0]) > 2) for rows in sections if rows)

    def chart(self) -> str:
        """A picture of the medians as SVG, one bar for each row of the table, the conditions below them."""
        bars = []
        for name, found in self.measurements.items():
            ratio = self.figures.get(name, {}).get("times faster")
            said = f"{_figure(1000 * found.median)} ms" + ("" if ratio is None else f"  ({ratio:.2f}×)")
            bars.append(Bar(name, 1000 * found.median, said, 1000 * found.p95, reference=ratio == 1.0))
        facts = {**self.settings, **{name: self.machine[name] for name in _SHOWN if self.machine.get(name) is not None}}
        caption = [f"{name}: {_words(value)}" for name, value in facts.items()]
        title = (
            f"{self.measured[0].upper()}{self.measured[1:]}: milliseconds, median (thin line to the 95th percentile)"
        )
        return bar_chart(title, bars, caption)

    def _table(self) -> Iterator[tuple[str, ...]]:
        further = list(dict.fromkeys(name for figures in self.figures.values() for name in figures))
        yield (self.measured, "median ms", "p95", "min", "runs", *further)
        for name, found in self.measurements.items():
            times = (_figure(1000 * seconds) for seconds in (found.median, found.p95, found.minimum))
            figures = self.figures.get(name, {})
            extra = (_figure(figures[column]) if column in figures else "" for column in further)
            yield (name, *times, str(len(found.seconds)), *extra)


def _figure(figure: float) -> str:
    """Three significant digits, or all those before the point."""
    before = math.floor(math.log10(abs(figure))) if figure and math.isfinite(figure) else 0
    return f"{figure:,.{max(0, 2 - before)}f}"


def _finite(figure: float) -> float | None:
    """None where JSON has no word for it: an SNR is infinite where two are equal."""
    return figure if math.isfinite(figure) else None


def _words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.3f}"
    return "not installed" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
