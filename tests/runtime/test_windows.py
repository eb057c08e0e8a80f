"""Windows cover a film of any length, and each goes on from columns that were given out."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.geometry import PAPER, RELEASE, SAMPLE_RATE, Geometry
from mdsgen.runtime.windows import CONTEXT, WindowPlan
from tests.geometries import geometries

SHORT = replace(PAPER, name="short", width=10)
"""Windows of 1.28 s: five columns."""

lengths = st.integers(1, 40 * SAMPLE_RATE)
anywhere = st.one_of(st.sampled_from([PAPER, RELEASE, SHORT]), geometries())


@st.composite
def plans(draw: st.DrawFn) -> WindowPlan:
    """Any plan that has something new in its windows."""
    geometry = draw(anywhere)
    lookahead = draw(st.integers(0, geometry.time_columns - 1))
    context = draw(st.integers(0, geometry.time_columns - 1 - lookahead))
    return WindowPlan(geometry, context, draw(st.integers(1, 2 * geometry.time_columns)), lookahead)


@settings(max_examples=60)
@given(plans(), lengths)
def test_windows_give_out_every_column_of_a_film_once_in_order(plan: WindowPlan, samples: int) -> None:
    column = plan.geometry.column_samples
    windows = list(plan.film(samples))
    assert [window.index for window in windows] == list(range(len(windows)))
    assert windows[0].given == 0
    assert all(before.until == after.given for before, after in pairwise(windows))
    assert (windows[-1].until - 1) * column < samples <= windows[-1].until * column


@settings(max_examples=60)
@given(plans())
def test_a_window_holds_its_context_its_block_and_its_lookahead(plan: WindowPlan) -> None:
    columns = plan.geometry.time_columns
    for before, window in pairwise(islice(plan, 12)):
        assert before.start <= window.start <= window.given < window.until
        assert window.until - window.given <= plan.block
        assert window.end == window.until + plan.lookahead
        assert window.end - window.start <= columns
        assert window.given - window.start >= min(plan.context, window.given)
        assert window.start == max(0, window.end - columns)


@settings(max_examples=30)
@given(plans(), lengths)
def test_a_film_s_windows_are_those_without_an_end_up_to_the_last(plan: WindowPlan, samples: int) -> None:
    windows = list(plan.film(samples))
    endless = list(islice(plan, len(windows)))
    assert windows[:-1] == endless[:-1]
    assert (windows[-1].start, windows[-1].given) == (endless[-1].start, endless[-1].given)


@pytest.mark.parametrize("geometry", [PAPER, RELEASE], ids=lambda g: g.name)
def test_a_film_of_one_window_is_one_window(geometry: Geometry) -> None:
    plan = WindowPlan.of_film(geometry)
    assert len(list(plan.film(geometry.samples))) == 1
    assert len(list(plan.film(geometry.samples + 1))) == 2


@settings(max_examples=40)
@given(geometries())
def test_every_geometry_has_its_plan(geometry: Geometry) -> None:
    assert WindowPlan.of_film(geometry).fresh >= 1


def test_a_film_in_the_paper_s_geometry() -> None:
    plan = WindowPlan.of_film(PAPER)
    assert plan.context == CONTEXT * PAPER.time_columns
    windows = [(w.start, w.given, w.until) for w in plan.film(10 * SAMPLE_RATE)]
    assert windows == [(0, 0, 31), (5, 31, 36), (10, 36, 40)]


def test_live_windows_begin_at_the_beginning_until_one_is_full() -> None:
    windows = list(islice(WindowPlan(PAPER, context=16, block=2, lookahead=1), 17))
    assert [(w.start, w.given, w.until, w.end) for w in windows[:2]] == [(0, 0, 2, 3), (0, 2, 4, 5)]
    assert [(w.start, w.given, w.until, w.end) for w in windows[-2:]] == [(1, 30, 32, 33), (3, 32, 34, 35)]


@pytest.mark.parametrize("samples", [0, -1])
def test_no_samples_have_no_window(samples: int) -> None:
    with pytest.raises(ValueError, match="no window"):
        next(WindowPlan.of_film(PAPER).film(samples))


@pytest.mark.parametrize("lengths", [(32, 1, 0), (16, 1, 16), (-1, 1, 0), (0, 0, 0), (0, 1, -1)], ids=str)
def test_a_plan_with_nothing_new_is_refused(lengths: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="nothing new"):
        WindowPlan(PAPER, *lengths)
