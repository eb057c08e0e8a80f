"""The solver's coefficients against the textbook's formulas (Lu et al., 2022: equations 8 and 12 and algorithm 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.runtime.guidance import guidance_scale
from mdsgen.runtime.schedule import NoiseSchedule
from mdsgen.runtime.solver import FRESH, KEPT, NONE, SOLVERS, SolverStep, solver_steps
from tests.released import STEPS, golden

SCHEDULE = NoiseSchedule()
step_counts = st.integers(1, 60)


def solve(
    steps: int, solver: str = "dpm-2m", guidance: float = 5.0, power: float = 0.01, **how: Any
) -> tuple[SolverStep, ...]:
    return solver_steps(steps, guidance, power, solver, **how)


def one_step(step: SolverStep, x: float, noise: float, previous: float, *older: float) -> tuple[float, float]:
    """Next and clean latent, by the coefficients."""
    c = step.coefficients
    following = x * c.next_latent + noise * c.next_noise + previous * c.next_previous
    following += float(np.dot(older, c.next_older))
    return following, x * c.clean_latent + noise * c.clean_noise


@pytest.mark.parametrize("steps", STEPS)
def test_the_network_is_told_what_the_release_tells_it(steps: int) -> None:
    told = [step.timestep for step in solve(steps)]
    np.testing.assert_allclose(told, golden()[f"timesteps_{steps}"], atol=1e-4)  # the release computes in float32


@settings(max_examples=40, deadline=None)
@given(step_counts, st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_first_order_is_ddim(steps: int, x: float, noise: float, previous: float) -> None:
    t = SCHEDULE.times(steps)
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    for i, step in enumerate(solve(steps, "ddim")):
        clean = (x - sigma[i] * noise) / alpha[i]
        following = alpha[i + 1] * clean + sigma[i + 1] * noise
        assert one_step(step, x, noise, previous) == pytest.approx((following, clean), rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(step_counts, st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_second_order_is_dpm_solver_plus_plus_2m(steps: int, x: float, noise: float, previous: float) -> None:
    t = SCHEDULE.times(steps)
    alpha, sigma, log_snr = SCHEDULE.alpha(t), SCHEDULE.sigma(t), SCHEDULE.half_log_snr(t)
    for i, step in enumerate(solve(steps)):
        clean = (x - sigma[i] * noise) / alpha[i]
        h = log_snr[i + 1] - log_snr[i]
        ahead = clean
        if i > 0 and not (steps < 10 and i == steps - 1):
            r = (log_snr[i] - log_snr[i - 1]) / h
            ahead = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * previous
        following = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * (np.exp(-h) - 1) * ahead
        assert one_step(step, x, noise, previous) == pytest.approx((following, clean), rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(step_counts, st.sampled_from(SOLVERS))
def test_the_right_noise_brings_back_the_clean_latent(steps: int, solver: str) -> None:
    """A latent of one clean value and one noise stays on the line between them, whatever the step."""
    clean, noise = 0.7, -1.2
    t = SCHEDULE.times(steps)
    on_the_line = SCHEDULE.alpha(t) * clean + SCHEDULE.sigma(t) * noise
    for i, step in enumerate(solve(steps, solver)):
        older = [clean] * len(step.coefficients.next_older)
        following, estimate = one_step(step, on_the_line[i], noise, clean, *older)
        assert estimate == pytest.approx(clean, abs=1e-9)
        assert following == pytest.approx(on_the_line[i + 1], abs=1e-9)


@pytest.mark.parametrize(("steps", "first_order"), [(1, [0]), (2, [0, 1]), (9, [0, 8]), (10, [0]), (25, [0])], ids=str)
def test_only_the_first_step_and_the_last_of_few_are_of_first_order(steps: int, first_order: list[int]) -> None:
    plan = solve(steps)
    assert [i for i, step in enumerate(plan) if step.coefficients.next_previous == 0] == first_order


def test_of_first_order_no_step_looks_back() -> None:
    assert all(step.coefficients.next_previous == 0 for step in solve(25, "ddim"))


@settings(max_examples=20, deadline=None)
@given(step_counts, st.floats(1, 10), st.floats(0.01, 4))
def test_every_step_carries_its_guidance(steps: int, guidance: float, power: float) -> None:
    plan = solve(steps, guidance=guidance, power=power)
    told = np.array([step.timestep for step in plan])
    assert [step.coefficients.guidance for step in plan] == guidance_scale(told, guidance, power).tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1000), st.sampled_from(SOLVERS))
def test_any_number_of_steps_falls_from_999_in_finite_numbers(steps: int, solver: str) -> None:
    plan = solve(steps, solver)
    told = [step.timestep for step in plan]
    assert len(plan) == steps
    assert told[0] == pytest.approx(999.0)
    assert told == sorted(told, reverse=True)
    assert told[-1] > 0
    for c in (step.coefficients for step in plan):
        assert np.isfinite([c.next_latent, c.next_noise, c.next_previous, *c.next_older]).all()
        assert np.isfinite([c.guidance, c.clean_latent, c.clean_noise]).all()


def test_another_schedule_can_be_solved() -> None:
    schedule = NoiseSchedule(end=0.05)
    last = solver_steps(20, 1.0, 1.0, "ddim", schedule=schedule)[-1]
    t = schedule.times(20)
    following, _ = one_step(last, schedule.alpha(t[-2]), 0.0, 0.0)  # clean 1, no noise
    assert following == pytest.approx(schedule.alpha(t[-1]))


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, float("nan"), float("inf"), True, "ten", None])
def test_impossible_steps_are_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to 1000, not"):
        solve(steps)


@pytest.mark.parametrize("solver", ["euler", "", 2, None])
def test_an_unknown_solver_is_refused(solver: Any) -> None:
    with pytest.raises(ValueError, match="solver must be one of ddim, dpm-2m, dpm-3m, unipc-2, unipc-3, not"):
        solve(10, solver)


@pytest.mark.parametrize(
    ("guidance", "power"), [(float("nan"), 1.0), (float("inf"), 1.0), (5.0, -0.1), (5.0, float("nan"))]
)
def test_a_guidance_that_gives_no_number_is_refused(guidance: float, power: float) -> None:
    with pytest.raises(ValueError, match="guidance must be finite, its power 0 or more"):
        solve(10, guidance=guidance, power=power)


# Which branches a step computes


def test_guidance_acts_inside_its_interval_alone() -> None:
    everywhere, inside = solve(20), solve(20, guidance_interval=(200.0, 600.0))
    for plain, step in zip(everywhere, inside, strict=True):
        guided = 200 <= step.timestep <= 600
        assert step.timestep == plain.timestep
        assert step.coefficients.guidance == (plain.coefficients.guidance if guided else 1.0)
        assert step.unconditional == (FRESH if guided else NONE)


def test_without_guidance_no_step_computes_the_unconditional_branch() -> None:
    assert {step.unconditional for step in solve(5, guidance=1.0)} == {NONE}


def test_the_unconditional_branch_is_computed_in_every_so_many_guided_steps() -> None:
    plan = solve(10, guidance_interval=(0.0, 850.0), unconditional_every=3)
    assert [step.timestep > 850 for step in plan].count(True) == 2
    assert [step.unconditional for step in plan] == [NONE, NONE, FRESH, KEPT, KEPT, FRESH, KEPT, KEPT, FRESH, KEPT]


def test_by_default_every_step_computes_both() -> None:
    assert {step.unconditional for step in solve(25)} == {FRESH}


@pytest.mark.parametrize("interval", [(600.0, 200.0), (float("nan"), 100.0)])
def test_an_interval_the_wrong_way_round_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a guidance interval is a lower and an upper timestep"):
        solve(10, guidance_interval=interval)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_an_impossible_rhythm_is_refused(every: Any) -> None:
    with pytest.raises(ValueError, match="computed every 1, 2, 3, … steps, not every"):
        solve(10, unconditional_every=every)
