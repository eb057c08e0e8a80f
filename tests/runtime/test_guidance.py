"""The strength of guidance over the timesteps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.runtime.guidance import guidance_scale
from tests.released import TIMESTEPS, TOLERANCE, golden, relative_error

strengths = st.floats(0.5, 20)
powers = st.floats(0.01, 8)


@pytest.mark.parametrize("timestep", TIMESTEPS)
def test_guides_as_the_release_does(timestep: int) -> None:
    released = golden()
    conditional, unconditional = released[f"cond_t{timestep}"], released[f"uncond_t{timestep}"]
    scale = float(guidance_scale(np.array(timestep), guidance=5.0, power=0.01))
    guided = unconditional + scale * (conditional - unconditional)
    assert relative_error(guided, released[f"cfg_t{timestep}"]) < TOLERANCE


@settings(max_examples=50)
@given(strengths, powers, st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_is_the_published_formula(guidance: float, power: float, timesteps: list[float]) -> None:
    expected = [
        (guidance - 1) * (1 - math.cos((1 - timestep / 1000) ** power * math.pi)) / 2 + 1 for timestep in timesteps
    ]
    np.testing.assert_allclose(guidance_scale(np.array(timesteps), guidance, power), expected, rtol=1e-12)


@settings(max_examples=50)
@given(st.floats(1, 20), powers)
def test_grows_from_none_to_full_strength_as_the_noise_goes(guidance: float, power: float) -> None:
    scale = guidance_scale(np.linspace(1000, 0, 101), guidance, power)
    assert scale[0] == 1
    assert scale[-1] == pytest.approx(guidance)
    assert (np.diff(scale) >= 0).all()


@settings(max_examples=20)
@given(powers)
def test_guidance_of_one_is_none_at_any_time(power: float) -> None:
    np.testing.assert_array_equal(guidance_scale(np.linspace(0, 1000, 11), 1.0, power), np.ones(11))


def test_the_releases_power_is_close_to_full_strength_all_the_way() -> None:
    scale = guidance_scale(np.array([999.0, 998.0, 500.0, 0.0]), 5.0, 0.01)
    np.testing.assert_allclose(scale, 5.0, atol=0.06)


def test_a_power_of_zero_is_the_same_strength_at_every_time() -> None:
    np.testing.assert_array_equal(guidance_scale(np.array([999.0, 10.0, 0.0]), 3.0, 0.0), [3.0, 3.0, 3.0])


def test_timesteps_outside_the_schedule_are_held_at_its_ends() -> None:
    ends = guidance_scale(np.array([1000.0, 0.0]), 5.0, 2.0)
    np.testing.assert_array_equal(guidance_scale(np.array([1001.0, -1e-9]), 5.0, 2.0), ends)
