"""Runs are timed in turn, after a warm-up, and summed up as what they are."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.timing import Measurement, side_by_side

SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)


def test_all_take_turns_and_the_warm_up_is_not_timed() -> None:
    order: list[str] = []
    measured = side_by_side({name: lambda name=name: order.append(name) for name in "ab"}, repeat=3, warmup=2)
    assert order == ["a", "b"] * 5
    assert [len(found.seconds) for found in measured.values()] == [3, 3]


def test_a_lead_is_run_before_every_timed_run_and_not_timed() -> None:
    order: list[str] = []
    measured = side_by_side({name: lambda name=name: order.append(name) for name in "ab"}, repeat=2, warmup=0, lead=2)
    assert order == ["a", "a", "a", "b", "b", "b"] * 2
    assert [len(found.seconds) for found in measured.values()] == [2, 2]


def test_what_takes_longer_is_measured_longer() -> None:
    measured = side_by_side({"nothing": lambda: None, "sleep": lambda: time.sleep(0.02)}, repeat=3, warmup=0)
    assert measured["nothing"].median < 0.02 <= measured["sleep"].minimum


@settings(max_examples=30)
@given(SECONDS)
def test_figures_lie_in_their_order(seconds: list[float]) -> None:
    found = Measurement(tuple(seconds))
    assert found.minimum <= found.median <= max(seconds)
    assert found.minimum <= found.p95 <= max(seconds) * (1 + 1e-12)
    assert found.to_dict() == {
        "median": found.median,
        "p95": found.p95,
        "min": found.minimum,
        "runs": len(seconds),
    }


def test_one_outlier_moves_the_p95_and_not_the_median() -> None:
    found = Measurement((1.0,) * 9 + (101.0,))
    assert found.median == 1.0
    assert found.p95 == pytest.approx(56.0)
