"""A noise that repeats itself at the hop is told from one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation.periodicity import all_noise, hop_autocorrelation
from mdsgen.geometry import DEMO
from mdsgen.scenes import KINDS, sample_scene

HOP = DEMO.mel.hop


def noise(samples: int = 64 * HOP) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples).astype(np.float32)


def test_noise_is_unlike_itself_a_hop_later() -> None:
    assert abs(hop_autocorrelation(noise())) < 0.02


def test_what_repeats_every_hop_is_its_own_copy_and_inverted_its_opposite() -> None:
    one = noise(HOP)
    assert hop_autocorrelation(np.tile(one, 20)) == pytest.approx(1)
    assert hop_autocorrelation(np.concatenate([one, -one] * 10)) == pytest.approx(-1)


def test_half_of_the_energy_that_repeats_is_a_half() -> None:
    assert hop_autocorrelation(noise() + np.tile(noise(HOP), 64)) == pytest.approx(0.5, abs=0.05)


def test_it_listens_at_the_hop_that_it_is_told() -> None:
    buzz = np.tile(noise(160), 50)
    assert hop_autocorrelation(buzz, hop=160) == pytest.approx(1)
    assert abs(hop_autocorrelation(buzz)) < 0.5


@pytest.mark.parametrize("samples", [0, 10, HOP, 4 * HOP])
def test_silence_and_what_is_too_short_say_nothing(samples: int) -> None:
    assert hop_autocorrelation(np.zeros(samples, np.float32)) == 0.0


def test_scenes_of_noise_are_those_without_blows_and_engines() -> None:
    scenes = {kind: sample_scene(70_000, kind) for kind in KINDS}
    found = {kind for kind, scene in scenes.items() if all_noise(scene.truth)}
    assert found <= {"rain", "fire", "waves", "fan", "car"}
    assert len(found) >= 3
