"""Tones built by hand: what keeps its pitch is told from what jumps."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation.pitch import PITCHED, PitchSteps, pitch, pitch_steps
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes import Event, Source, Truth, sample_scene

FIRST = 8.0
TIMES = (0.5, 2.0, 4.0, 7.0, 9.0, 11.0, 13.0)


def source(kind: str = "bell", times: tuple[float, ...] = TIMES, strength: float = 1.0) -> Source:
    return Source(kind, "metal", tuple(Event(time, strength, "metal", kind) for time in times))


def rings(*blows: tuple[float, float], seconds: float = 16.0) -> np.ndarray:
    """Tones of so many hertz that begin at so many seconds and die away."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(time)
    for at, hertz in blows:
        age = time - at
        sound += np.where(age >= 0, np.exp(-8 * np.maximum(age, 0)) * np.sin(2 * np.pi * hertz * age), 0)
    return (0.3 * sound).astype(np.float32)


@pytest.mark.parametrize(("hertz", "semitones"), [(440.0, 0.0), (466.164, 1.0), (880.0, 12.0), (220.0, -12.0)])
def test_pitch_is_in_semitones_above_440_hertz(hertz: float, semitones: float) -> None:
    assert pitch(rings((0.0, hertz), seconds=0.256)) == pytest.approx(semitones, abs=0.05)


def test_what_dies_away_at_once_is_heard_before_what_hums_behind_it() -> None:
    time = np.arange(4096) / SAMPLE_RATE
    tick, hum = 0.5 * np.exp(-time / 0.02) * np.sin(2 * np.pi * 660 * time), 0.04 * np.sin(2 * np.pi * 220 * time)
    assert pitch(tick + hum) == pytest.approx(7.02, abs=0.1)


def test_a_bell_that_rings_alike_all_through_is_constant() -> None:
    steps = pitch_steps(rings(*((at, 523.0) for at in TIMES)), Truth((source(),)), FIRST)
    assert len(steps.semitones) == 3, "blows of the first window are what the others are compared with"
    assert steps.median == pytest.approx(0, abs=0.02)
    assert steps.constant == 1.0


def test_a_bell_that_is_two_semitones_lower_in_the_next_window_is_found_out() -> None:
    sound = rings(*((at, 523.0 if at < FIRST else 523.0 * 2 ** (-2 / 12)) for at in TIMES))
    steps = pitch_steps(sound, Truth((source(),)), FIRST)
    assert steps.median == pytest.approx(2, abs=0.05)
    assert steps.constant == 0.0


def test_the_share_says_what_the_median_hides() -> None:
    sound = rings(*((at, 600.0 if at == 13.0 else 523.0) for at in TIMES))
    steps = pitch_steps(sound, Truth((source(),)), FIRST)
    assert steps.median == pytest.approx(0, abs=0.05)
    assert steps.constant == pytest.approx(2 / 3)


def test_two_things_are_compared_with_themselves() -> None:
    low, high = source("hammer", (1.0, 3.0, 9.0)), source("bell", (2.0, 4.0, 10.0))
    sound = rings(*((at, 300.0) for at in (1.0, 3.0, 9.0)), *((at, 1000.0) for at in (2.0, 4.0, 10.0)))
    steps = pitch_steps(sound, Truth((low, high)), FIRST)
    assert len(steps.semitones) == 2
    assert max(steps.semitones) < 0.05
    assert len(pitch_steps(sound, Truth((low, high)), FIRST, ["bell"]).semitones) == 1


def test_a_thing_that_is_silent_in_the_first_window_does_not_count() -> None:
    late = source(times=(9.0, 11.0))
    steps = pitch_steps(rings((9.0, 300.0), (11.0, 500.0)), Truth((late,)), FIRST)
    assert (len(steps.semitones), steps.median, steps.constant) == (0, None, None)


def test_blows_that_are_not_heard_that_are_weak_or_soon_followed_are_left_out() -> None:
    weak = Source("bell", "metal", (*source().events, Event(9.5, 0.01, "metal", "bell")))
    close = source(times=(*TIMES, 9.1))
    heard = rings(*((at, 523.0) for at in TIMES))
    assert len(pitch_steps(heard, Truth((weak,)), FIRST).semitones) == 3
    assert len(pitch_steps(heard, Truth((close,)), FIRST).semitones) == 3, "the one at 9.0 is cut off by that at 9.1"
    missing = rings(*((at, 523.0) for at in TIMES if at != 11.0))
    assert len(pitch_steps(missing, Truth((source(),)), FIRST).semitones) == 2
    assert len(pitch_steps(np.zeros(16 * SAMPLE_RATE, np.float32), Truth((source(),)), FIRST).semitones) == 0


def test_steps_and_noises_have_no_pitch_to_keep() -> None:
    assert len(pitch_steps(rings((0.5, 300.0), (9.0, 300.0)), Truth((source("footsteps"),)), FIRST).semitones) == 0


def test_between_two_pitches_is_none() -> None:
    sound = rings((0.5, 400.0), (2.0, 800.0), (9.0, 400.0), (11.0, 800.0))
    steps = pitch_steps(sound, Truth((source(times=(0.5, 2.0, 9.0, 11.0)),)), FIRST)
    assert sorted(steps.semitones) == [pytest.approx(0, abs=0.05), pytest.approx(12, abs=0.05)]


def test_films_add_up_by_their_blows() -> None:
    both = PitchSteps((0.0, 0.1)) + PitchSteps((5.0,))
    assert (both.median, both.constant) == (0.1, pytest.approx(2 / 3))


@pytest.mark.parametrize("kind", sorted(PITCHED))
def test_real_things_alone_keep_their_pitch(kind: str) -> None:
    scenes = (sample_scene(seed, kind, 20.0) for seed in range(71_000, 71_020))
    alone = next(scene for scene in scenes if len(scene.actors) == 1)
    steps = pitch_steps(alone.sound(), alone.truth, FIRST)
    assert len(steps.semitones) >= 3
    assert steps.median is not None
    assert steps.median < 0.05
