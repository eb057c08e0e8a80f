"""One sound through all windows."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen import Pipeline, Sampling
from mdsgen.geometry import PAPER
from mdsgen.runtime import Timings, WindowGenerator
from mdsgen.runtime.soundtrack import Soundtrack, fade_samples
from mdsgen.runtime.windows import WindowPlan

PLAN = WindowPlan(PAPER, context=26, block=4, lookahead=1)
FRAMES = np.random.default_rng(0).integers(0, 256, (32, 1, 1, 3), dtype=np.uint8).repeat(224, 1).repeat(224, 2)


@pytest.fixture
def generator(pipeline: Pipeline) -> WindowGenerator:
    return WindowGenerator(pipeline._networks, Sampling(steps=2))


def track(generator: WindowGenerator, windows: int, silent: frozenset[int] = frozenset(), seed: int = 0) -> np.ndarray:
    made = Soundtrack(PAPER, generator, seed, PLAN)
    blocks = []
    for window in PLAN:
        if window.index == windows:
            return np.concatenate(blocks)
        quiet = window.index in silent
        blocks.append(made.add_silence(window) if quiet else made.add(window, FRAMES, Timings()))
    raise AssertionError("a plan has no end")


def test_windows_that_overlap_agree_on_what_is_known(generator: WindowGenerator) -> None:
    """The next window's own sound before its block is what was given out, so that the fade hides nothing."""
    made = Soundtrack(PAPER, generator, 0, PLAN)
    windows = iter(PLAN)
    first, second = next(windows), next(windows)
    made.add(first, FRAMES, Timings())
    known = made._known_to(second)
    assert known is not None
    assert known.columns == second.given - second.start
    np.testing.assert_array_equal(known.latent[known.part], made._latent[known.part])  # type: ignore[index]


def test_silence_takes_the_place_of_a_window_and_fades(generator: WindowGenerator) -> None:
    whole, broken = track(generator, 3), track(generator, 3, frozenset({1}))
    column, fade = PAPER.column_samples, fade_samples(PAPER)
    assert len(broken) == len(whole)
    np.testing.assert_array_equal(broken[: 4 * column - fade], whole[: 4 * column - fade])
    assert not broken[4 * column : 8 * column - fade].any()
    assert np.abs(np.diff(broken)).max() <= 2 * np.abs(np.diff(whole)).max()


def test_after_silence_it_goes_on_from_what_is_known_before(generator: WindowGenerator) -> None:
    made = Soundtrack(PAPER, generator, 0, PLAN)
    windows = iter(PLAN)
    made.add(next(windows), FRAMES, Timings())
    made.add_silence(next(windows))
    known = made._known_to(next(windows))
    assert known is not None
    assert known.columns == 4
