"""The sounds of windows become one to the sample, at constant power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.runtime.assembling import Assembler, crossfade


def decibels(ratio: float) -> float:
    return 10 * float(np.log10(ratio))


def power(sound: np.ndarray) -> float:
    return float(np.mean(np.square(sound, dtype=np.float64)))


def noise(samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples, dtype=np.float32)


# Joining


@settings(max_examples=40)
@given(st.integers(0, 50), st.lists(st.tuples(st.integers(1, 200), st.integers(0, 60)), min_size=1, max_size=6))
def test_every_sample_comes_out_where_it_belongs(fade: int, pieces: list[tuple[int, int]]) -> None:
    """Each sound says of every sample which one of the film it is, and begins somewhat before it is needed."""
    assembler, until, blocks = Assembler(fade), 0, []
    positions = np.arange(2000, dtype=np.float32) / 1000
    for index, (length, earlier) in enumerate(pieces):
        first = max(0, until - fade - earlier)
        until += length
        blocks.append(assembler.add(first, positions[first : until + 7], until, index == len(pieces) - 1))
    np.testing.assert_allclose(np.concatenate(blocks), positions[:until], rtol=1e-5, atol=1e-7)


def test_only_what_is_final_comes_out() -> None:
    assembler = Assembler(100)
    assert len(assembler.add(0, noise(1000, 0), 1000)) == 900
    assert len(assembler.add(500, noise(1000, 1), 1500)) == 500
    assert len(assembler.add(1000, noise(1000, 2), 1700, last=True)) == 300


def test_outside_the_fade_sounds_are_left_alone() -> None:
    assembler, first, second = Assembler(100), noise(1000, 0), noise(1000, 1)
    whole = np.concatenate([assembler.add(0, first, 1000), assembler.add(500, second, 1500, last=True)])
    np.testing.assert_array_equal(whole[:900], first[:900])
    np.testing.assert_array_equal(whole[1000:], second[500:])
    assert whole.dtype == np.float32


def test_what_was_given_in_is_not_changed() -> None:
    assembler, first, second = Assembler(100), noise(1000, 0), noise(1000, 1)
    assembler.add(0, first, 1000)
    assembler.add(500, second, 1500)
    np.testing.assert_array_equal(second, noise(1000, 1))


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
