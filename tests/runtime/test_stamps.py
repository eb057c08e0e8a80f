"""Pictures of any clock come one after the other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsgen.errors import SettingsError
from mdsgen.runtime.stamps import LEAP, Stamps


def test_pictures_without_times_come_evenly() -> None:
    stamps = Stamps(25)
    assert [stamps.place(None) for _ in range(3)] == pytest.approx([0, 0.04, 0.08])


def test_the_first_time_is_the_beginning_and_irregular_ones_are_kept() -> None:
    stamps = Stamps(25)
    assert [stamps.place(time) for time in (100.0, 100.01, 100.5, 103.0)] == pytest.approx([0, 0.01, 0.5, 3])


def test_what_comes_twice_or_a_little_late_is_left_out_and_counted() -> None:
    stamps = Stamps(25)
    assert [stamps.place(time) for time in (0.0, 1.0, 1.0, 0.5, 1.1)] == [0, 1, None, None, pytest.approx(1.1)]
    assert (stamps.doubled, stamps.leaps) == (2, 0)


@pytest.mark.parametrize("clock", [-50.0, 0.0, 1.0 + LEAP + 1, 1e9])
def test_a_clock_that_starts_anew_goes_on_at_the_usual_rate(clock: float) -> None:
    stamps = Stamps(4)
    placed = [stamps.place(time) for time in (0.0, 1.0, clock, clock + 0.5)]
    assert placed == pytest.approx([0, 1, 1.25, 1.75])
    assert stamps.leaps == 1


def test_a_picture_after_a_stall_does_not_go_back() -> None:
    stamps = Stamps(4)
    stamps.place(0.0)
    stamps.stand(2.0)
    assert stamps.place(1.5) is None
    assert stamps.place(2.25) == 2.25


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30))
def test_time_never_goes_back(times: list[float | None]) -> None:
    stamps = Stamps(30)
    placed = [place for time in times if (place := stamps.place(time)) is not None]
    assert all(before < after <= before + LEAP for before, after in pairwise(placed))


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_what_is_no_time_is_refused(time: float) -> None:
    with pytest.raises(SettingsError, match="time"):
        Stamps(25).place(time)
