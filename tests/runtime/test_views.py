"""Every window sees the pictures of its own times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import MediaError
from mdsgen.geometry import PAPER, SAMPLE_RATE
from mdsgen.runtime.views import Pictures, Views
from mdsgen.runtime.windows import WindowPlan

PLANS = [
    WindowPlan.of_film(PAPER),
    WindowPlan(PAPER, 4, 32, 0),
    WindowPlan(PAPER, 16, 2, 1),
    WindowPlan(PAPER, 26, 3, 2),
]


def numbered(times: list[Fraction], asked: list[int]) -> Pictures:
    """Pictures that say which one they are, and note that they were asked for."""

    def shown(index: int) -> np.ndarray:
        asked.append(index)
        return np.full((2, 2, 3), index, np.int32)

    return ((time, lambda index=index: shown(index)) for index, time in enumerate(times))  # type: ignore[misc]


@settings(max_examples=40)
@given(st.sampled_from(PLANS), st.lists(st.integers(0, 60), min_size=1, max_size=120), st.integers(1, 25 * SAMPLE_RATE))
def test_a_frame_is_the_picture_on_the_screen(plan: WindowPlan, gaps: list[int], samples: int) -> None:
    times = [Fraction(time, 20) for time in np.cumsum(gaps).tolist()]
    asked: list[int] = []
    pictures, views = numbered(times, asked), Views(PAPER, plan.film(samples))
    for window in plan.film(samples):
        found = views.of_film(pictures, samples)[:, 0, 0, 0].tolist()
        unseen = 1 if window.end == window.until else 131_072 - 126_000  # behind the last frame of a whole window
        first = window.start * PAPER.column_samples + 2000
        seen = [at for at in range(first, first + 32 * 4000, 4000) if at <= window.end * PAPER.column_samples - unseen]
        seen = [at for at in seen if at <= max(samples, 2000)]
        expected = [max(0, sum(time * SAMPLE_RATE < at for time in times) - 1) for at in seen]
        assert found[: len(expected)] == expected
        assert set(found[len(expected) :]) <= {found[len(expected) - 1] if expected else found[0]}
    assert len(asked) == len(set(asked))


def test_no_more_pictures_are_read_than_a_window_needs_and_none_is_converted_in_vain() -> None:
    asked: list[int] = []
    times = [Fraction(index, 50) for index in range(3000)]
    pictures, views = numbered(times, asked), Views(PAPER, WindowPlan.of_film(PAPER).film(60 * SAMPLE_RATE))
    views.of_film(pictures, 60 * SAMPLE_RATE)
    following, _ = next(pictures)
    assert following < 8
    assert len(asked) <= 150  # of 408


def test_a_window_is_ready_when_its_last_frame_has_been_seen() -> None:
    views = Views(PAPER, iter(WindowPlan(PAPER, 16, 2, 1)))
    assert views.ready() is None
    views.push(0, lambda: np.zeros((2, 2, 3), np.uint8))
    last = 6000  # the second frame: in a whole window, too, the last one lies 0.317 s before its end
    assert views.needed_until == last
    views.advance(last - 1)
    assert views.ready() is None
    views.advance(last)
    window = views.ready()
    assert window is not None
    assert window.index == 0
    assert views.take().shape == (32, 2, 2, 3)
    assert views.ready() is None


def test_every_window_is_in_the_same_memory() -> None:
    pictures, views = numbered([Fraction(0)], []), Views(PAPER, WindowPlan.of_film(PAPER).film(20 * SAMPLE_RATE))
    assert np.shares_memory(views.of_film(pictures, 20 * SAMPLE_RATE), views.of_film(pictures, 20 * SAMPLE_RATE))


def test_no_picture_at_all_is_refused() -> None:
    nothing: Iterator[tuple[Fraction, object]] = iter([])
    with pytest.raises(MediaError, match="no picture"):
        Views(PAPER, WindowPlan.of_film(PAPER).film(SAMPLE_RATE)).of_film(nothing, SAMPLE_RATE)  # type: ignore[arg-type]
