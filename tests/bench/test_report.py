"""A report says the same to people and to programs."""

from __future__ import annotations

import json

from mdsgen.bench.measure import Measurement
from mdsgen.bench.report import Report

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
    assert rows[1] == ["first", "600.0", "690.0", "500.0", "2", "1.00"]
    assert rows[2] == ["second", "250.0", "250.0", "250.0", "2", "2.40", "inf", "1,234"]
    assert totals.splitlines() == ["peak   5 (a library)", "bytes  1,000,000"]
    assert notes == "a sentence"


def test_programs_read_all_of_it_in_plain_json() -> None:
    document = REPORT.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["conditions"] == {"processor": "one", "openvino": None, "threads": 2}
    assert document["results"]["first"]["what"] == "as published"
    assert document["results"]["second"]["dB"] is None
    assert document["results"]["second"]["times faster"] == 2.4
    assert (document["totals"]["bytes"], document["notes"]) == (1_000_000, ["a sentence"])
