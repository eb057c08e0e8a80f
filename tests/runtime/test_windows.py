"""Windows cover a video of any length, and their sounds become one to the sample."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.geometry import PAPER, RELEASE, SAMPLE_RATE, Geometry
from mdsgen.runtime.windows import OVERLAP_FRAMES, Assembler, WindowPlan, crossfade
from tests.geometries import geometries

SHORT = replace(PAPER, name="short", width=10)
"""Windows of 1.28 s with 5 video frames: the shortest that can overlap and still move on."""

lengths = st.integers(1, 40 * SAMPLE_RATE)
anywhere = st.sampled_from([PAPER, RELEASE, SHORT])


def decibels(ratio: float) -> float:
    return 10 * float(np.log10(ratio))


def power(sound: np.ndarray) -> float:
    return float(np.mean(np.square(sound, dtype=np.float64)))


def noise(samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)


# The plan


@settings(max_examples=60, deadline=None)
@given(st.one_of(anywhere, geometries()), lengths)
def test_windows_cover_every_sample_in_order(geometry: Geometry, samples: int) -> None:
    plan = WindowPlan(geometry, samples)
    windows = list(plan)
    assert [window.index for window in windows] == list(range(len(plan)))
    assert windows[0].start == 0
    assert windows[-1].start + windows[-1].samples == samples
    for before, after in pairwise(windows):
        assert before.first_frame < after.first_frame
        assert before.samples == geometry.samples
        assert before.start + before.samples - after.start >= plan.overlap
    for window in windows:
        assert window.start == window.first_frame * geometry.samples_per_frame
        assert 0 < window.samples <= geometry.samples


@settings(max_examples=60, deadline=None)
@given(anywhere, lengths)
def test_windows_share_four_frames_and_see_real_ones_only(geometry: Geometry, samples: int) -> None:
    plan = WindowPlan(geometry, samples)
    windows = list(plan)
    for before, after in pairwise(windows):
        assert before.first_frame + geometry.video_frames - after.first_frame >= OVERLAP_FRAMES
    if len(windows) > 1:
        assert max(window.first_frame for window in windows) + geometry.video_frames <= plan.frames
    assert plan.frames * geometry.samples_per_frame >= samples


@pytest.mark.parametrize("geometry", [PAPER, RELEASE], ids=lambda g: g.name)
def test_a_video_of_one_window_is_one_window(geometry: Geometry) -> None:
    assert len(WindowPlan(geometry, geometry.samples)) == 1
    assert len(WindowPlan(geometry, geometry.samples + 1)) == 2


def test_ten_seconds_in_the_paper_s_geometry() -> None:
    plan = WindowPlan(PAPER, 10 * SAMPLE_RATE)
    assert [(w.first_frame, w.start, w.samples) for w in plan] == [(0, 0, 131_072), (8, 32_000, 128_000)]
    assert plan.overlap == 131_072 - 7 * SAMPLE_RATE  # 1.192 s


@pytest.mark.parametrize("samples", [0, -1])
def test_no_samples_have_no_window(samples: int) -> None:
    with pytest.raises(ValueError, match="no window"):
        WindowPlan(PAPER, samples)


# Joining


@settings(max_examples=40, deadline=None)
@given(st.one_of(anywhere, geometries()), lengths)
def test_every_sample_comes_out_where_it_belongs(geometry: Geometry, samples: int) -> None:
    """The sound of each window says of every sample which one of the video it is."""
    plan = WindowPlan(geometry, samples)
    assembler = Assembler(plan)
    positions = np.arange(samples + geometry.samples, dtype=np.float32) / 1000
    blocks = [assembler.add(window, positions[window.start :][: geometry.samples]) for window in plan]
    np.testing.assert_allclose(np.concatenate(blocks), positions[:samples], rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(anywhere, lengths)
def test_outside_the_cross_fades_windows_are_left_alone(geometry: Geometry, samples: int) -> None:
    plan = WindowPlan(geometry, samples)
    assembler = Assembler(plan)
    sounds = [noise(geometry.samples, window.index) for window in plan]
    whole = np.concatenate([assembler.add(window, sound) for window, sound in zip(plan, sounds, strict=True)])
    assert whole.dtype == np.float32
    assert whole.shape == (samples,)
    free = 0  # the first sample that no earlier window reaches
    for window, sound in zip(plan, sounds, strict=True):
        last = window.index == len(plan) - 1
        until = window.start + window.samples - (0 if last else plan.overlap)
        np.testing.assert_array_equal(whole[free:until], sound[free - window.start : until - window.start])
        free = window.start + window.samples


def test_only_what_is_final_comes_out() -> None:
    plan = WindowPlan(PAPER, 20 * SAMPLE_RATE)
    assembler = Assembler(plan)
    given_out = [len(assembler.add(window, noise(PAPER.samples, 0))) for window in plan]
    assert given_out == [7 * SAMPLE_RATE, 7 * SAMPLE_RATE, 6 * SAMPLE_RATE]


# Cross-fading


def test_equal_sounds_stay_what_they_are() -> None:
    sound = noise(20_000, 0)
    np.testing.assert_allclose(crossfade(sound, sound), sound, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_power_stays_whether_sounds_agree_or_not(correlation: float) -> None:
    first, other = noise(20_000, 1), noise(20_000, 2)
    second = np.float32(correlation) * first + np.float32(np.sqrt(1 - correlation**2)) * other
    for part in np.split(crossfade(first, second), 4):
        assert abs(decibels(power(part))) < 0.3


def test_opposed_sounds_are_no_louder_than_unrelated_ones() -> None:
    sound = noise(20_000, 1)
    assert power(crossfade(sound, -sound)) < power(sound)


def test_a_fade_begins_with_the_first_and_ends_with_the_second() -> None:
    first, second = np.full(1000, 1, np.float32), np.full(1000, -1, np.float32)
    mixed = crossfade(first, second)
    assert mixed[0] == pytest.approx(1, abs=0.01)
    assert mixed[-1] == pytest.approx(-1, abs=0.01)
    assert (np.diff(mixed) <= 0).all()


@pytest.mark.parametrize(("loud", "quiet"), [(0, 0), (0, 1), (1, 0), (1, 1e-30)])
def test_silence_is_no_trouble(loud: float, quiet: float) -> None:
    first, second = loud * noise(1000, 1), np.float32(quiet) * noise(1000, 2)
    mixed = crossfade(first.astype(np.float32), second)
    assert np.isfinite(mixed).all()
    assert power(mixed) <= max(power(first), power(second))
    assert mixed.any() == bool(loud or quiet)


def test_nothing_fades_into_nothing() -> None:
    empty = np.zeros(0, np.float32)
    assert crossfade(empty, empty).shape == (0,)
