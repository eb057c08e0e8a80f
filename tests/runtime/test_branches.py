"""A guided step computes as many branches as it asks for, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.runtime.branches import Branches
from mdsgen.runtime.sampler import Estimates, solve
from mdsgen.runtime.solver import plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

SHAPE = (1, 2, 3, 4)


class CountingNetwork:
    """Two branches that differ by a direction which turns slowly; every pass is written down."""

    def __init__(self) -> None:
        self.passes: list[str] = []

    def denoise(self, latent: np.ndarray, modulations: np.ndarray) -> Estimates:
        self.passes.append("both")
        conditional = self._conditional(latent, modulations)
        return conditional, conditional - modulations[1, 0, 0]

    def denoise_conditional(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        self.passes.append("one")
        return self._conditional(latent, modulations)

    def _conditional(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        return np.asarray(np.tanh(latent) + modulations[0, 0, 0], np.float32)


def sampled(sampling: Sampling, turning: float = 0.01) -> tuple[np.ndarray, list[str]]:
    network, plan = CountingNetwork(), plan_steps(sampling, NoiseSchedule())
    modulations = np.zeros((sampling.steps, 2, 1, 1), np.float32)  # [steps, branches, V, D]
    modulations[:, 0, 0, 0] = np.linspace(0, 0.3, sampling.steps)
    modulations[:, 1, 0, 0] = 0.1 + turning * np.arange(sampling.steps)
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    return solve(noise, plan, Branches(network, plan, modulations)), network.passes


PLAIN = Sampling(steps=6, guidance=4.0, guidance_power=0.01)


def test_plainly_every_step_computes_both() -> None:
    _, passes = sampled(PLAIN)
    assert passes == ["both"] * 6


def test_outside_the_interval_one_branch_is_enough() -> None:
    _, passes = sampled(PLAIN.changed(guidance_interval=(300.0, 700.0)))
    assert passes == ["one", "one", "both", "both", "both", "one"]


def test_an_interval_of_nothing_is_no_guidance() -> None:
    never, passes = sampled(PLAIN.changed(guidance_interval=(0.0, 0.0)))
    unguided, _ = sampled(PLAIN.changed(guidance=1.0))
    np.testing.assert_array_equal(never, unguided)
    assert passes == ["one"] * 6


def test_a_direction_is_kept_for_the_steps_in_between() -> None:
    _, passes = sampled(PLAIN.changed(unconditional_every=3))
    assert passes == ["both", "one", "one"] * 2


def test_a_direction_that_does_not_turn_may_be_kept() -> None:
    fresh, _ = sampled(PLAIN, turning=0.0)
    kept, _ = sampled(PLAIN.changed(unconditional_every=6), turning=0.0)
    np.testing.assert_allclose(kept, fresh, atol=1e-5)


@pytest.mark.parametrize("every", [2, 3])
def test_one_that_turns_slowly_is_missed_by_little(every: int) -> None:
    fresh, _ = sampled(PLAIN)
    kept, _ = sampled(PLAIN.changed(unconditional_every=every))
    unguided, _ = sampled(PLAIN.changed(guidance=1.0))
    assert 0 < np.abs(kept - fresh).max() < 0.2 * np.abs(unguided - fresh).max()
