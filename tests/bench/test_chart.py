"""The chart is XML with one bar for each row, as long as its value."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from mdsgen.bench.chart import WIDTH, Bar, bar_chart
from mdsgen.bench.report import Report
from mdsgen.timing import Measurement

SVG = "{http://www.w3.org/2000/svg}"


def drawn(svg: str) -> tuple[list[ElementTree.Element], list[str]]:
    """Bars and texts."""
    root = ElementTree.fromstring(svg)
    bars = [found for found in root.iter(f"{SVG}rect") if found.get("class") == "bar"]
    return bars, [found.text or "" for found in root.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    bars, texts = drawn(
        bar_chart("A <title> & more", [Bar("a", 8, "8 ms", 10), Bar("b", 2, "2 ms", 2)], ["threads: 2"])
    )
    lengths = [float(bar.get("width", 0)) for bar in bars]
    assert lengths[0] == pytest.approx(4 * lengths[1], rel=0.01)
    assert all(float(bar.get("x", 0)) + float(bar.get("width", 0)) < WIDTH for bar in bars)
    assert texts == ["A <title> & more", "a", "8 ms", "b", "2 ms", "threads: 2"]


def test_a_long_caption_breaks_between_its_facts() -> None:
    facts = [f"fact {number}: {'x' * 40}" for number in range(5)]
    _, texts = drawn(bar_chart("t", [Bar("a", 0, "0 ms", 0)], facts))
    lines = texts[3:]
    assert len(lines) == 3
    assert " · ".join(lines) == " · ".join(facts)


def test_a_report_has_one_bar_for_each_row_and_the_first_stands_out() -> None:
    measured = {"torch": Measurement((0.1, 0.3, 0.2)), "onnxruntime": Measurement((0.05,))}
    figures = {"torch": {"times faster": 1.0}, "onnxruntime": {"times faster": 4.0}}
    report = Report("step", {"threads": 2}, measured, figures, machine={"processor": "one", "openvino": None})
    bars, texts = drawn(report.chart())
    assert len(bars) == 2
    assert bars[0].get("fill") != bars[1].get("fill")
    assert "200 ms  (1.00×)" in texts
    assert "50.0 ms  (4.00×)" in texts
    assert texts[-1] == "threads: 2 · processor: one"
