"""The solver's coefficients against the textbook's formulas (Lu et al., 2022: equations 8 and 12 and algorithm 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import SettingsError
from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.runtime.guidance import guidance_scale
from mdsgen.runtime.solver import FRESH, KEPT, NONE, TABLES, Plan, SolverStep, passes_of, plan_steps, timesteps_of
from mdsgen.sampling import PRESETS, SOLVERS, Sampling
from mdsgen.schedule import NoiseSchedule
from tests.released import STEPS, golden

SCHEDULE = ContinuousSchedule(NoiseSchedule())
step_counts = st.integers(1, 60)


def planned(steps: int, solver: str = "dpm-2m", **fields: Any) -> Plan:
    """The steps of a model with the release's noise schedule."""
    return plan_steps(Sampling(steps=steps, solver=solver, **fields), NoiseSchedule())


def one_step(step: SolverStep, x: float, noise: float, previous: float, *older: float) -> tuple[float, float]:
    """Next and clean latent, by the coefficients."""
    c = step.coefficients
    following = x * c.next_latent + noise * c.next_noise + previous * c.next_previous
    following += float(np.dot(older, c.next_older))
    return following, x * c.clean_latent + noise * c.clean_noise


@pytest.mark.parametrize("steps", STEPS)
def test_the_network_is_told_what_the_release_tells_it(steps: int) -> None:
    told = [step.timestep for step in planned(steps)]
    np.testing.assert_allclose(told, golden()[f"timesteps_{steps}"], atol=1e-4)  # the release computes in float32


@settings(max_examples=40)
@given(step_counts, st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_first_order_is_ddim(steps: int, x: float, noise: float, previous: float) -> None:
    t = SCHEDULE.times(steps)
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    for i, step in enumerate(planned(steps, "ddim")):
        clean = (x - sigma[i] * noise) / alpha[i]
        following = alpha[i + 1] * clean + sigma[i + 1] * noise
        assert one_step(step, x, noise, previous) == pytest.approx((following, clean), rel=1e-9, abs=1e-9)


@settings(max_examples=40)
@given(step_counts, st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_second_order_is_dpm_solver_plus_plus_2m(steps: int, x: float, noise: float, previous: float) -> None:
    t = SCHEDULE.times(steps)
    alpha, sigma, log_snr = SCHEDULE.alpha(t), SCHEDULE.sigma(t), SCHEDULE.half_log_snr(t)
    for i, step in enumerate(planned(steps)):
        clean = (x - sigma[i] * noise) / alpha[i]
        h = log_snr[i + 1] - log_snr[i]
        ahead = clean
        if i > 0 and not (steps < 10 and i == steps - 1):
            r = (log_snr[i] - log_snr[i - 1]) / h
            ahead = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * previous
        following = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * (np.exp(-h) - 1) * ahead
        assert one_step(step, x, noise, previous) == pytest.approx((following, clean), rel=1e-9, abs=1e-9)


@settings(max_examples=20)
@given(step_counts, st.sampled_from(SOLVERS))
def test_the_right_noise_brings_back_the_clean_latent(steps: int, solver: str) -> None:
    """A latent of one clean value and one noise stays on the line between them, whatever the step."""
    clean, noise = 0.7, -1.2
    t = SCHEDULE.times(steps)
    on_the_line = SCHEDULE.alpha(t) * clean + SCHEDULE.sigma(t) * noise
    for i, step in enumerate(planned(steps, solver)):
        older = [clean] * len(step.coefficients.next_older)
        following, estimate = one_step(step, on_the_line[i], noise, clean, *older)
        assert estimate == pytest.approx(clean, abs=1e-9)
        assert following == pytest.approx(on_the_line[i + 1], abs=1e-9)


@settings(max_examples=20)
@given(step_counts, st.sampled_from(SOLVERS), st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_a_velocity_leads_where_the_noise_does_that_it_stands_for(
    steps: int, solver: str, x: float, noise: float, previous: float
) -> None:
    t = SCHEDULE.times(steps)
    plan = plan_steps(Sampling(steps=steps, solver=solver), NoiseSchedule(target="velocity"))
    for i, (of_noise, of_velocity) in enumerate(zip(planned(steps, solver), plan, strict=True)):
        velocity = (noise - SCHEDULE.sigma(t[i]) * x) / SCHEDULE.alpha(t[i])
        older = [0.5] * len(of_noise.coefficients.next_older)
        expected = one_step(of_noise, x, noise, previous, *older)
        assert one_step(of_velocity, x, velocity, previous, *older) == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert of_velocity.timestep == of_noise.timestep


@pytest.mark.parametrize(("steps", "first_order"), [(1, [0]), (2, [0, 1]), (9, [0, 8]), (10, [0]), (25, [0])], ids=str)
def test_only_the_first_step_and_the_last_of_few_are_of_first_order(steps: int, first_order: list[int]) -> None:
    plan = planned(steps)
    assert [i for i, step in enumerate(plan) if step.coefficients.next_previous == 0] == first_order


def test_of_first_order_no_step_looks_back() -> None:
    assert all(step.coefficients.next_previous == 0 for step in planned(25, "ddim"))


@settings(max_examples=20)
@given(step_counts, st.floats(1, 10), st.floats(0.01, 4))
def test_every_step_carries_its_guidance(steps: int, guidance: float, power: float) -> None:
    plan = planned(steps, guidance=guidance, guidance_power=power)
    told = np.array([step.timestep for step in plan])
    assert [step.coefficients.guidance for step in plan] == guidance_scale(told, guidance, power).tolist()


@settings(max_examples=20)
@given(st.integers(1, 1000), st.sampled_from(SOLVERS))
def test_any_number_of_steps_falls_from_999_in_finite_numbers(steps: int, solver: str) -> None:
    plan = planned(steps, solver)
    told = [step.timestep for step in plan]
    assert len(plan) == steps
    assert told[0] == pytest.approx(999.0)
    assert told == sorted(told, reverse=True)
    assert told[-1] > 0
    for c in (step.coefficients for step in plan):
        assert np.isfinite([c.next_latent, c.next_noise, c.next_previous, *c.next_older]).all()
        assert np.isfinite([c.guidance, c.clean_latent, c.clean_noise]).all()


def test_there_is_a_table_of_every_solver_that_can_be_named() -> None:
    assert tuple(TABLES) == SOLVERS


# The model's noise schedule


def test_a_model_is_sampled_with_its_own_schedule() -> None:
    schedule = NoiseSchedule(beta_end=0.05)
    continuous = ContinuousSchedule(schedule)
    last = plan_steps(Sampling(20, 1.0, solver="ddim"), schedule)[-1]
    t = continuous.times(20)
    following, _ = one_step(last, continuous.alpha(t[-2]), 0.0, 0.0)  # clean 1, no noise
    assert following == pytest.approx(continuous.alpha(t[-1]))


def test_a_model_is_given_timesteps_of_its_own_training() -> None:
    timesteps = timesteps_of(plan_steps(Sampling(4), NoiseSchedule(train_steps=200)))
    np.testing.assert_allclose(timesteps, [199.0, 149.25, 99.5, 49.75], rtol=1e-6)


def test_guidance_runs_over_the_same_scale_whatever_the_number_of_timesteps() -> None:
    few, many = NoiseSchedule(1e-3, 0.2, 100), NoiseSchedule(2.5e-5, 5e-3, 4000)
    sampling = Sampling(20, guidance=4.0, guidance_power=1.0, guidance_interval=(200.0, 600.0))
    plans = [plan_steps(sampling, schedule) for schedule in (few, NoiseSchedule(), many)]
    branches, *others = ([step.unconditional for step in plan] for plan in plans)
    assert branches.count(FRESH) == 8
    assert others == [branches, branches]
    guidance, *others = ([step.coefficients.guidance for step in plan] for plan in plans)
    assert others == [pytest.approx(guidance, rel=0.06)] * 2


def test_more_steps_than_the_model_was_trained_in_are_refused() -> None:
    with pytest.raises(SettingsError, match="steps must be a whole number from 1 to 100, not 101"):
        plan_steps(Sampling(101), NoiseSchedule(train_steps=100))


def test_a_schedule_that_is_noise_alone_is_refused() -> None:
    with pytest.raises(SettingsError, match="leaves noise alone from its second timestep on"):
        plan_steps(Sampling(1), NoiseSchedule(0.9999, 0.9999, 2))


# Which branches a step computes


def test_guidance_acts_inside_its_interval_alone() -> None:
    everywhere, inside = planned(20), planned(20, guidance_interval=(200.0, 600.0))
    for plain, step in zip(everywhere, inside, strict=True):
        guided = 200 <= step.timestep <= 600
        assert step.timestep == plain.timestep
        assert step.coefficients.guidance == (plain.coefficients.guidance if guided else 1.0)
        assert step.unconditional == (FRESH if guided else NONE)


def test_without_guidance_no_step_computes_the_unconditional_branch() -> None:
    assert {step.unconditional for step in planned(5, guidance=1.0)} == {NONE}


def test_the_unconditional_branch_is_computed_in_every_so_many_guided_steps() -> None:
    plan = planned(10, guidance_interval=(0.0, 850.0), unconditional_every=3)
    assert [step.timestep > 850 for step in plan].count(True) == 2
    assert [step.unconditional for step in plan] == [NONE, NONE, FRESH, KEPT, KEPT, FRESH, KEPT, KEPT, FRESH, KEPT]


def test_by_default_every_step_computes_both() -> None:
    assert {step.unconditional for step in planned(25)} == {FRESH}


@pytest.mark.parametrize(
    ("fields", "passes"), [({}, 20), ({"unconditional_every": 2}, 15), ({"guidance": 1.0}, 10)], ids=str
)
def test_a_step_that_computes_both_branches_is_two_passes(fields: dict[str, Any], passes: int) -> None:
    assert passes_of(planned(10, **fields)) == passes


def test_a_better_preset_is_more_passes() -> None:
    passes = [passes_of(plan_steps(PRESETS[name], NoiseSchedule())) for name in ("fast", "balanced", "best")]
    assert passes == sorted(set(passes))
