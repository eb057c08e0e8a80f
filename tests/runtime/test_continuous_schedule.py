"""A noise schedule read continuously, against a plain product of the discrete steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.schedule import NoiseSchedule

SCHEDULE = ContinuousSchedule(NoiseSchedule())
ALPHA_SQUARED = np.cumprod(1.0 - np.linspace(1e-4, 2e-2, 1000))  # DDPM's alpha-bar
times = st.floats(1e-3, 1.0)


def test_equals_the_discrete_schedule_at_its_steps() -> None:
    time = np.arange(1, 1001) / 1000
    np.testing.assert_allclose(SCHEDULE.alpha(time), np.sqrt(ALPHA_SQUARED), rtol=1e-11)
    np.testing.assert_allclose(SCHEDULE.sigma(time), np.sqrt(1.0 - ALPHA_SQUARED), rtol=1e-9)
    np.testing.assert_allclose(
        SCHEDULE.half_log_snr(time), 0.5 * np.log(ALPHA_SQUARED / (1.0 - ALPHA_SQUARED)), rtol=1e-9, atol=1e-12
    )


def test_log_alpha_is_linear_between_the_steps() -> None:
    steps = np.array([1.0, 41.0, 500.0, 999.0])
    below, above = SCHEDULE.log_alpha(steps / 1000), SCHEDULE.log_alpha((steps + 1) / 1000)
    quarter = SCHEDULE.log_alpha((steps + 0.25) / 1000)
    np.testing.assert_allclose(quarter, 0.75 * below + 0.25 * above, rtol=1e-10)


@settings(max_examples=60)
@given(times)
def test_keeps_the_variance_at_any_time(time: float) -> None:
    t = np.array(time)
    assert SCHEDULE.alpha(t) ** 2 + SCHEDULE.sigma(t) ** 2 == pytest.approx(1.0, abs=1e-12)
    assert SCHEDULE.half_log_snr(t) == pytest.approx(np.log(SCHEDULE.alpha(t) / SCHEDULE.sigma(t)), abs=1e-9)


@settings(max_examples=60)
@given(st.tuples(times, times).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-6))
def test_more_time_is_more_noise(pair: tuple[float, float]) -> None:
    early, late = min(pair), max(pair)
    assert SCHEDULE.sigma(np.array(early)) < SCHEDULE.sigma(np.array(late))
    assert SCHEDULE.half_log_snr(np.array(early)) > SCHEDULE.half_log_snr(np.array(late))


@settings(max_examples=30)
@given(st.integers(1, 1000))
def test_sampling_times_are_uniform_from_all_noise_to_the_first_step(steps: int) -> None:
    t = SCHEDULE.times(steps)
    assert (len(t), t[0], t[-1]) == (steps + 1, 1.0, SCHEDULE.last_time)
    np.testing.assert_allclose(np.diff(t), (SCHEDULE.last_time - 1.0) / steps, rtol=1e-6)


def test_the_network_is_told_the_index_of_the_discrete_step() -> None:
    np.testing.assert_allclose(SCHEDULE.timestep(np.arange(1, 1001) / 1000), np.arange(1000), atol=1e-9)


def test_mdsgens_schedule_is_whole() -> None:
    assert SCHEDULE.last_time == 1 / 1000
    assert SCHEDULE.half_log_snr(np.array(1.0)) > -5.1


@pytest.mark.parametrize(("end", "left"), [(0.025, 897), (0.05, 634)])  # 897 and 634: counted by DPM-Solver's release
def test_a_tail_with_almost_nothing_but_noise_is_cut(end: float, left: int) -> None:
    schedule = ContinuousSchedule(NoiseSchedule(beta_end=end))
    alpha_squared = np.cumprod(1.0 - np.linspace(1e-4, end, 1000))
    half_log_snr = 0.5 * np.log(alpha_squared / (1.0 - alpha_squared))
    assert half_log_snr[left - 1] > -5.1 > half_log_snr[left]
    assert schedule.last_time == 1 / left
    np.testing.assert_allclose(schedule.alpha(np.arange(1, left + 1) / left), np.sqrt(alpha_squared[:left]), rtol=1e-10)
    assert schedule.times(10)[-1] == schedule.last_time


def test_what_is_left_of_a_cut_schedule_keeps_its_timesteps() -> None:
    schedule = ContinuousSchedule(NoiseSchedule(beta_end=0.05))
    np.testing.assert_allclose(schedule.timestep(np.arange(1, 635) / 634), np.arange(634), atol=1e-9)
