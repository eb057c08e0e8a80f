"""A model whose pictures come at a whole number per token column: every window sees those of its own columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen import Pipeline
from mdsgen.errors import SettingsError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.runtime.views import Pictures, Views
from mdsgen.runtime.windows import WindowPlan
from tests.geometries import BRISK
from tests.media.conftest import Renderer

RATE = Fraction(BRISK.frame_rate)
PLANS = [
    WindowPlan.of_film(BRISK),
    WindowPlan(BRISK, 4, 32, 0),
    WindowPlan(BRISK, 16, 2, 1),
    WindowPlan(BRISK, 26, 1, 0),
]


@pytest.fixture(scope="module")
def brisk(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The engines of a small bundle of that geometry."""
    pytest.importorskip("onnx")
    from tests.brisk import write_brisk_bundle

    folder = write_brisk_bundle(bundle_path, tmp_path_factory.mktemp("brisk") / "bundle")
    with Pipeline.open(folder, "onnxruntime", threads=1) as opened:
        yield opened


def numbered(count: int, rate: Fraction) -> Pictures:
    """Pictures that say which one they are."""
    return ((n / rate, lambda n=n: np.full((2, 2, 3), n, np.int32)) for n in range(count))  # type: ignore[misc]


def blinking(count: int, size: int = 56) -> np.ndarray:
    """Frames of one grey each, uint8 ``[count, size, size, 3]``."""
    levels = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, size, size, 3))


def test_a_film_is_looked_ahead_by_one_column() -> None:
    plan = WindowPlan.of_film(BRISK)
    assert (plan.context, plan.lookahead, plan.fresh) == (26, 1, 5)


@settings(max_examples=30)
@given(st.sampled_from(PLANS), st.integers(1, 25 * SAMPLE_RATE))
def test_a_column_has_its_own_pictures_in_every_window(plan: WindowPlan, samples: int) -> None:
    pictures, views = numbered(500, RATE), Views(BRISK, plan.film(samples))
    for window in plan.film(samples):
        found = views.of_film(pictures, samples)[:, 0, 0, 0].tolist()
        first, until = 4 * window.start, 4 * window.end
        last = max(first, int(samples / BRISK.samples_per_frame - Fraction(1, 2)))  # what begins before the end
        assert found[: until - first] == [min(n, last) for n in range(first, until)]


@pytest.mark.parametrize("rate", [8, 12, Fraction(24000, 1001), 25, 60])
def test_films_of_other_rates_give_the_pictures_that_are_on_the_screen(rate: Fraction | int) -> None:
    rate = Fraction(rate)
    plan = WindowPlan.of_film(BRISK)
    pictures, views = numbered(20 * 60, rate), Views(BRISK, plan.film(15 * SAMPLE_RATE))
    for window in plan.film(15 * SAMPLE_RATE):
        found = views.of_film(pictures, 15 * SAMPLE_RATE)[:, 0, 0, 0].tolist()
        times = [(n + Fraction(1, 2)) / RATE for n in range(4 * window.start, 4 * window.end)]
        expected = [math.ceil(time * rate) - 1 for time in times if time <= 15]
        assert found[: len(expected)] == expected


def test_a_window_is_ready_with_the_last_picture_of_its_last_column() -> None:
    views = Views(BRISK, iter(WindowPlan(BRISK, 16, 2, 1)))
    views.push(0, lambda: np.zeros((2, 2, 3), np.uint8))
    assert views.needed_until == 3 * BRISK.column_samples - 512
    views.advance(3 * BRISK.column_samples - 513)
    assert views.ready() is None
    views.advance(3 * BRISK.column_samples - 512)
    assert views.ready() is not None
    assert views.take().shape == (128, 2, 2, 3)


def test_frames_come_at_the_models_own_rate_where_nobody_says_otherwise(brisk: Pipeline) -> None:
    frames = blinking(150)
    sound = brisk(frames, steps=1)
    assert len(sound.audio) == 150 * 1024
    np.testing.assert_array_equal(sound.audio, brisk(frames, frame_rate=15.625, steps=1).audio)


@pytest.mark.parametrize("rate", [8, 25.0, 59.94])
def test_frames_of_another_rate_are_picked_by_their_time(brisk: Pipeline, rate: float) -> None:
    frames = blinking(int(4 * rate), 60)
    found = brisk(frames, frame_rate=rate, steps=1).audio
    assert len(found) == round(len(frames) / rate * SAMPLE_RATE)
    times = [(n + Fraction(1, 2)) / RATE for n in range((len(found) + 512) // 1024)]
    shown = [min(len(frames), math.ceil(time * Fraction(rate))) - 1 for time in times]
    picked = brisk(frames[shown], steps=1).audio
    shared = min(len(found), len(picked))  # the rate is no whole number of samples
    np.testing.assert_array_equal(found[:shared], picked[:shared])


def test_a_part_of_an_array_begins_with_what_is_seen_there(brisk: Pipeline) -> None:
    frames = blinking(100)
    part = brisk(frames, frame_rate=25, start=2.0, duration=1.28, steps=1)
    np.testing.assert_array_equal(part.audio, brisk(frames[50:82], frame_rate=25, steps=1).audio)


@pytest.mark.parametrize("rate", [0, -4, float("nan"), float("inf"), 1e9, "25", True])
def test_a_rate_that_cannot_be_is_refused(brisk: Pipeline, rate: float) -> None:
    with pytest.raises(SettingsError, match="frame_rate must be a number from"):
        brisk(blinking(8), frame_rate=rate)


def test_a_file_has_its_own_rate(brisk: Pipeline, film: Renderer) -> None:
    with pytest.raises(SettingsError, match="a file says itself"):
        brisk(film(frames=8, rate=4), frame_rate=4)


def test_a_film_is_heard_as_long_as_it_lasts(brisk: Pipeline, film: Renderer) -> None:
    sound = brisk(film(frames=30, rate=12), steps=1)
    assert sound.duration == 2.5
    assert sound.audio.std() > 0.01


def test_live_blocks_are_those_of_pictures_at_any_rate(brisk: Pipeline) -> None:
    frames = blinking(60, 56)
    with brisk.live(frame_rate=25, steps=1) as live:
        blocks = [block for frame in frames for block in live.push(frame)]
        whole = np.concatenate([*blocks, live.finish()])
    assert live.frame_size == 56
    assert len(whole) == round(60 / 25 * SAMPLE_RATE)
    assert len(blocks) > 1
