"""One guided solver step: in place, in the arrays' own dtype, and what the formula says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.kernels import StepCoefficients, guided_step

SHAPE = (1, 4, 6, 5)
SECOND_ORDER = StepCoefficients(
    guidance=4.7, next_latent=1.3, next_noise=-0.4, next_previous=-0.2, clean_latent=2.5, clean_noise=-2.1
)
FIRST_ORDER = StepCoefficients(
    guidance=4.7, next_latent=1.3, next_noise=-0.4, next_previous=0.0, clean_latent=2.5, clean_noise=-2.1
)


def arrays(dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Latent, conditional, unconditional, clean."""
    latent, conditional, unconditional, clean = np.random.default_rng(seed).standard_normal((4, *SHAPE)).astype(dtype)
    return latent, conditional, unconditional, clean


def in_float64(
    latent: np.ndarray, conditional: np.ndarray, unconditional: np.ndarray, clean: np.ndarray, c: StepCoefficients
) -> tuple[np.ndarray, np.ndarray]:
    """The next latent and the clean one, as the class's docstring writes them."""
    x, yes, no, previous = (array.astype(np.float64) for array in (latent, conditional, unconditional, clean))
    e = no + c.guidance * (yes - no)
    return x * c.next_latent + e * c.next_noise + previous * c.next_previous, x * c.clean_latent + e * c.clean_noise


NUMBERS = ("guidance", "next_latent", "next_noise", "next_previous", "clean_latent", "clean_noise")
coefficients = st.builds(StepCoefficients, **dict.fromkeys(NUMBERS, st.floats(-8, 8)))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@settings(max_examples=50)
@given(c=coefficients, seed=st.integers(0, 1000))
def test_equals_float64_arithmetic_to_the_dtypes_rounding(dtype: str, c: StepCoefficients, seed: int) -> None:
    latent, conditional, unconditional, clean = arrays(dtype, seed)
    following, cleaned = in_float64(latent, conditional, unconditional, clean, c)
    # The largest sum of magnitudes that is rounded on the way, twice over (a handful of operations).
    noise = (abs(c.guidance) + 1) * 8
    bound = 8 * np.finfo(dtype).eps * (abs(c.next_latent) + abs(c.next_noise) * noise + abs(c.next_previous) + 1) * 4
    clean_bound = 8 * np.finfo(dtype).eps * (abs(c.clean_latent) + abs(c.clean_noise) * noise + 1) * 4
    guided_step(latent, conditional, unconditional, clean, c)
    np.testing.assert_allclose(latent, following, rtol=0, atol=bound)
    np.testing.assert_allclose(clean, cleaned, rtol=0, atol=clean_bound)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 4e-3)])
@pytest.mark.parametrize("c", [FIRST_ORDER, SECOND_ORDER], ids=["first order", "second order"])
def test_a_typical_step_is_right_to_the_last_digits(dtype: str, tolerance: float, c: StepCoefficients) -> None:
    latent, conditional, unconditional, clean = arrays(dtype)
    following, cleaned = in_float64(latent, conditional, unconditional, clean, c)
    guided_step(latent, conditional, unconditional, clean, c)
    for mine, exact in ((latent, following), (clean, cleaned)):
        assert np.linalg.norm(mine - exact) / np.linalg.norm(exact) < tolerance


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_works_in_place_and_leaves_the_estimates_alone(dtype: str) -> None:
    latent, conditional, unconditional, clean = arrays(dtype)
    before = [array.copy() for array in (latent, conditional, unconditional, clean)]
    views = latent[0, 0], clean[0, 0]  # of the same memory
    assert guided_step(latent, conditional, unconditional, clean, SECOND_ORDER) is None  # type: ignore[func-returns-value]
    assert latent.dtype == clean.dtype == dtype
    np.testing.assert_array_equal(views[0], latent[0, 0])
    np.testing.assert_array_equal(views[1], clean[0, 0])
    assert not np.array_equal(latent, before[0])
    assert not np.array_equal(clean, before[3])
    np.testing.assert_array_equal(conditional, before[1])
    np.testing.assert_array_equal(unconditional, before[2])


def test_the_previous_clean_latent_is_read_before_it_is_replaced() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    only_previous = StepCoefficients(1.0, 0.0, 0.0, next_previous=1.0, clean_latent=0.0, clean_noise=0.0)
    previous = clean.copy()
    guided_step(latent, conditional, unconditional, clean, only_previous)
    np.testing.assert_array_equal(latent, previous)
    np.testing.assert_array_equal(clean, np.zeros(SHAPE))


def test_a_first_order_step_does_not_read_what_was_there_before() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    clean[:] = np.nan
    guided_step(latent, conditional, unconditional, clean, FIRST_ORDER)
    assert np.isfinite(latent).all()
    assert np.isfinite(clean).all()


def test_older_clean_latents_count_and_move_on_by_one() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    older = list(np.random.default_rng(1).standard_normal((2, *SHAPE)).astype("float32"))
    third_order = dataclasses.replace(SECOND_ORDER, next_older=(0.3, -0.1))
    following, cleaned = in_float64(latent, conditional, unconditional, clean, SECOND_ORDER)
    previous, oldest = clean.copy(), older[0].copy()
    following += 0.3 * older[0] - 0.1 * older[1]
    guided_step(latent, conditional, unconditional, clean, third_order, older)
    np.testing.assert_allclose(latent, following, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(clean, cleaned, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(older, [previous, oldest])


def test_a_step_that_does_not_look_so_far_back_does_not_read_it() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    older = [np.full(SHAPE, np.nan, np.float32)]
    guided_step(latent, conditional, unconditional, clean, dataclasses.replace(SECOND_ORDER, next_older=(0.0,)), older)
    assert np.isfinite(latent).all()


def test_as_many_older_clean_latents_as_coefficients_are_wanted() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    with pytest.raises(ValueError, match="zip"):
        guided_step(latent, conditional, unconditional, clean, SECOND_ORDER, [clean.copy()])


def test_the_estimates_may_be_halves_of_one_batch() -> None:
    latent, conditional, unconditional, clean = arrays("float32")
    following, cleaned = in_float64(latent, conditional, unconditional, clean, SECOND_ORDER)
    both = np.concatenate([conditional, unconditional])
    guided_step(latent, both[:1], both[1:], clean, SECOND_ORDER)
    np.testing.assert_allclose(latent, following, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(clean, cleaned, rtol=1e-4, atol=1e-5)


def test_coefficients_are_frozen() -> None:
    with pytest.raises(AttributeError):
        SECOND_ORDER.guidance = 1.0  # type: ignore[misc]


def test_a_clean_estimate_stops_at_its_limit_and_the_next_latent_follows_from_that() -> None:
    limited = dataclasses.replace(SECOND_ORDER, clean_limit=6.0)
    latent, conditional, unconditional, clean = arrays("float32")
    before = [array.copy() for array in (latent, conditional, unconditional, clean)]
    free_next, free_clean = in_float64(*before, SECOND_ORDER)
    guided_step(latent, conditional, unconditional, clean, limited)
    beyond = np.abs(free_clean) > 6.0
    assert 0.2 < beyond.mean() < 0.9
    np.testing.assert_allclose(clean, np.clip(free_clean, -6.0, 6.0), atol=1e-5)
    # The noise that would have led to the limited estimate leads to the next latent as well.
    noise = (np.clip(free_clean, -6.0, 6.0) - limited.clean_latent * before[0]) / limited.clean_noise
    expected = before[0] * limited.next_latent + noise * limited.next_noise + before[3] * limited.next_previous
    np.testing.assert_allclose(latent, expected, atol=1e-5)
    np.testing.assert_allclose(latent[~beyond], free_next[~beyond], atol=1e-5)
