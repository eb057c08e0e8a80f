"""A report says the same to people and to programs."""

from __future__ import annotations

import json

import pytest

from mdsgen.bench.report import Report
from mdsgen.timing import Measurement

REPORT = Report(
    "step",
    {"threads": 2},
    {"first": Measurement((0.5, 0.7)), "second": Measurement((0.25, 0.25))},
    {"first": {"times faster": 1.0}, "second": {"times faster": 2.4, "dB": float("inf"), "GFLOP/s": 1234.5}},
    {"peak": "5 (a library)", "bytes": 1_000_000},
    machine={"processor": "one", "openvino": None},
    descriptions={"first": "as published"},
    notes=["a sentence"],
)


def test_people_read_conditions_a_table_totals_and_notes() -> None:
    conditions, described, table, totals, notes = REPORT.page().split("\n\n")
    assert conditions.splitlines() == ["processor  one", "openvino   not installed", "threads    2"]
    assert described == "first  as published"
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["step", "median", "ms", "p95", "min", "runs", "times", "faster", "dB", "GFLOP/s"]
    assert rows[1] == ["first", "600", "690", "500", "2", "1.00"]
    assert rows[2] == ["second", "250", "250", "250", "2", "2.40", "inf", "1,234"]
    assert totals.splitlines() == ["peak   5 (a library)", "bytes  1,000,000"]
    assert notes == "a sentence"


@pytest.mark.parametrize(
    ("figure", "written"),
    [(0.0, "0.00"), (0.00123456, "0.00123"), (0.0456, "0.0456"), (0.25, "0.250"), (9.876, "9.88"), (12.3, "12.3")],
)
def test_figures_have_three_digits_however_small_they_are(figure: float, written: str) -> None:
    report = Report("step", {}, {"one": Measurement((figure / 1000,))}, machine={})
    assert report.page().splitlines()[-1].split()[1] == written


def test_programs_read_all_of_it_in_plain_json() -> None:
    document = REPORT.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["conditions"] == {"processor": "one", "openvino": None, "threads": 2}
    assert document["results"]["first"]["what"] == "as published"
    assert document["results"]["second"]["dB"] is None
    assert document["results"]["second"]["times faster"] == 2.4
    assert (document["totals"]["bytes"], document["notes"]) == (1_000_000, ["a sentence"])
