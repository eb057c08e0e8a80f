"""Noise with and without clicks, gaps and jumps where it was joined."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation.seams import Seams, flux, random_joins, seams
from mdsgen.geometry import SAMPLE_RATE

SECONDS = 40.0
JOINS = np.arange(1.024, SECONDS - 1, 1.024)
NOTHING = np.zeros(0)


def noise(seed: int = 0, seconds: float = SECONDS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.05 * rng.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def each(times: np.ndarray) -> np.ndarray:
    return np.rint(times * SAMPLE_RATE).astype(int)


def test_of_a_sound_without_seams_19_joins_in_20_are_usual() -> None:
    total = sum((seams(noise(seed), JOINS, NOTHING) for seed in range(6)), Seams())
    assert total.joins == 6 * len(JOINS)
    assert total.share == pytest.approx(0.95, abs=0.04)


def test_a_click_at_every_join_is_found() -> None:
    sound = noise()
    for at in each(JOINS):
        sound[at : at + 40] += 0.5
    found = seams(sound, JOINS, NOTHING)
    assert (found.joins, found.usual) == (len(JOINS), 0)
    elsewhere = seams(sound, random_joins(JOINS, SECONDS, 1), JOINS)
    assert elsewhere.share is not None
    assert elsewhere.share > 0.8, "random instants of the same sound are usual"


@pytest.mark.parametrize("late", [0.0, 0.064])
def test_a_gap_is_a_seam_as_a_click_is_at_both_ends_of_the_fade(late: float) -> None:
    sound = noise()
    for at in each(JOINS + late):
        sound[at : at + 480] = 0
    assert (seams(sound, JOINS, NOTHING).share or 0.0) < 0.05


def test_a_tone_that_jumps_is_a_seam_and_one_that_goes_on_is_none() -> None:
    time = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    number = np.searchsorted(JOINS, time)
    jumping, steady = (
        (0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) + 0.1 * noise()
        for hertz in (400 + 250 * (number % 2), 400)
    )
    assert (seams(jumping, JOINS, NOTHING).share or 0.0) < 0.05
    assert (seams(steady, JOINS, NOTHING).share or 0.0) > 0.8


def test_blows_are_no_seams_and_hide_none() -> None:
    sound = noise()
    blows = np.concatenate([JOINS[::2], JOINS[:-1] + 0.5])
    for at in each(blows):
        sound[at : at + 1600] += (0.8 * noise(9, 0.1) / 0.05 * np.exp(-np.arange(1600) / 300)).astype(np.float32)
    found = seams(sound, JOINS, blows)
    assert found.joins == len(JOINS) // 2, "joins at a blow are not looked at"
    assert (found.share or 0.0) > 0.8
    for at in each(JOINS[1::2]):
        sound[at : at + 40] += 0.3  # far quieter than the blows
    assert seams(sound, JOINS, blows).usual == 0


def test_nothing_is_said_of_what_is_too_short_or_all_blows() -> None:
    assert seams(noise(seconds=0.5), np.array([0.2]), NOTHING) == Seams()
    assert seams(noise(seconds=0.01), np.array([0.0]), NOTHING) == Seams()
    assert seams(noise(), JOINS, np.arange(0, SECONDS, 0.2)) == Seams()
    assert Seams().share is None


def test_a_join_outside_of_the_sound_is_none() -> None:
    assert seams(noise(seconds=10), np.array([5.0, 12.0]), NOTHING).joins == 1


def test_flux_is_the_same_for_what_comes_and_what_goes() -> None:
    sound = np.where(np.arange(32_000) // 8000 % 2, noise(seconds=2.0), 0).astype(np.float32)
    changes = flux(sound)
    assert changes[50:54].max() == pytest.approx(changes[100:104].max(), rel=0.2)
    assert changes[20:40].max() == 0.0


def test_random_instants_are_as_many_and_the_same_every_time() -> None:
    instants = random_joins(JOINS, SECONDS, 3)
    assert (len(instants), instants.min() >= 0, instants.max() <= SECONDS) == (len(JOINS), True, True)
    np.testing.assert_array_equal(instants, random_joins(JOINS, SECONDS, 3))
