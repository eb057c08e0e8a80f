"""When work will be done, and what of it is said to whom."""

from __future__ import annotations

import io
import sys

import pytest

from mdsgen import report as report_module
from mdsgen.cli.reporting import reporting
from mdsgen.report import Interim, Pace, counted


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, to be changed."""
    now = [100.0]
    monkeypatch.setattr(report_module.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "left"), [(3, "27 s left"), (60, "9 min left"), (1000, "2 h 30 min left")])
def test_what_is_left_follows_from_what_was_done_since_it_began(clock: list[float], seconds: int, left: str) -> None:
    pace = Pace(done=50)
    clock[0] += seconds
    assert pace.per_second(60) == pytest.approx(10 / seconds)
    assert pace.left(60, 150).startswith(f"{left}, done ")


def test_nothing_is_foreseen_from_nothing_or_at_the_end() -> None:
    assert Pace(done=5).left(5, 10) == ""
    assert Pace().left(10, 10) == ""


def test_things_are_counted_as_they_are_done(clock: list[float]) -> None:
    lines: list[str] = []
    for _ in counted("abc", 3, "letter", lines.append):
        clock[0] += 5
    assert [line.partition(", done")[0] for line in lines] == [
        "letter 1 of 3",
        "letter 2 of 3 (10 s left",
        "letter 3 of 3 (5 s left",
    ]
    assert all(isinstance(line, Interim) for line in lines)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, quiet: bool = False) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with reporting(quiet) as report:
        for line in ("begun", Interim("1 of 2"), Interim("2 of 2"), "kept", Interim("last")):
            report(line)
    return stream.getvalue()


def test_at_a_terminal_how_far_it_is_stands_in_one_line_that_goes_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear = "\r\x1b[K"
    expected = f"begun\n{clear}1 of 2{clear}2 of 2{clear}kept\n{clear}last{clear}"
    assert said(Terminal(), monkeypatch) == expected


def test_a_pipe_gets_what_happened_and_quiet_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(io.StringIO(), monkeypatch) == "begun\nkept\n"
    assert said(Terminal(), monkeypatch, quiet=True) == ""
