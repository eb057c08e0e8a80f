"""Onsets are matched one to one, as many as can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.evaluation.matching import Matches, coincide, match

TIMES = st.lists(st.integers(0, 20), max_size=4, unique=True).map(lambda times: np.sort(np.array(times)) * 0.08)


def test_each_onset_counts_once() -> None:
    assert match(np.array([1.0, 1.1]), np.array([1.05])) == Matches(found=2, true=1, matched=1)


def test_what_is_too_late_does_not_match() -> None:
    assert match(np.array([1.125]), np.array([1.0])).matched == 1
    assert match(np.array([1.13]), np.array([1.0])).matched == 0


@settings(max_examples=60, deadline=None)
@given(TIMES, TIMES)
def test_no_other_matching_is_larger(found: np.ndarray, true: np.ndarray) -> None:
    short, long = sorted((found, true), key=len)
    largest = max(
        sum(abs(a - b) <= 0.125 for a, b in zip(short, chosen, strict=True))
        for chosen in itertools.permutations(long, len(short))
    )
    assert match(found, true).matched == largest


def test_the_figures_of_several_clips_are_pooled() -> None:
    pooled = Matches(found=4, true=2, matched=2) + Matches(found=0, true=2, matched=0)
    assert (pooled.precision, pooled.recall, pooled.f1) == (0.5, 0.5, 0.5)


def test_nothing_found_where_nothing_is_is_right() -> None:
    assert Matches().f1 == Matches().precision == Matches().recall == 1.0
    assert Matches(found=1).f1 == Matches(true=1).f1 == 0.0


@pytest.mark.parametrize(("late", "same"), [(0.1, True), (0.4, False), (1.0, True)])
def test_a_beat_shifted_by_itself_coincides(late: float, same: bool) -> None:
    beat = np.arange(0.0, 8.0)
    assert coincide(beat + late, beat) is same
