"""The diffusion loop: the published samples, an exact solution, and the contract with the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import SettingsError, TensorError
from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.runtime import Network, sample, seeded_noise
from mdsgen.sampling import SOLVERS, Sampling
from mdsgen.schedule import NoiseSchedule
from tests.geometries import TALL, WIDE
from tests.released import DECODE_LAYER, STEPS, TOLERANCE, golden, relative_error, released_state
from tests.threads import one_thread

LOG_ALPHA = 0.5 * np.log(np.cumprod(1.0 - np.linspace(1e-4, 2e-2, 1000)))


def alpha(timestep: float) -> float:
    return float(np.exp(np.interp(timestep, np.arange(1000), LOG_ALPHA)))


def spread(timestep: float, deviation: float) -> float:
    """Standard deviation of noisy data whose clean values have ``deviation``."""
    return float(np.sqrt((alpha(timestep) * deviation) ** 2 + 1.0 - alpha(timestep) ** 2))


def gaussian_noise(x: np.ndarray, timestep: float, mean: float, deviation: float) -> np.ndarray:
    """The exact noise estimate where every value of the data is drawn from N(mean, deviation²)."""
    a = alpha(timestep)
    return np.sqrt(1.0 - a * a) * (x - a * mean) / spread(timestep, deviation) ** 2


def gaussian_solution(noise: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Where the probability-flow ODE takes ``noise``: its distance from the mean, in deviations, never changes."""
    distance = (noise.astype(np.float64) - alpha(999) * mean) / spread(999, deviation)
    return alpha(0) * mean + spread(0, deviation) * distance


def network_of(estimate: Callable[[np.ndarray, float], np.ndarray]) -> Network:
    """The same estimate with and without the condition."""

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        return estimate(latent, timestep), estimate(latent, timestep)

    return network


def sampled(network: Network, noise: np.ndarray, steps: int, **fields: Any) -> np.ndarray:
    """By a network with the release's noise schedule."""
    return sample(network, noise, Sampling(steps=steps, **fields), NoiseSchedule())


def some_noise(seed: int = 0) -> np.ndarray:
    return seeded_noise(WIDE, seed)


# The published samples


@pytest.fixture(scope="module")
def released() -> Iterator[tuple[dict[str, np.ndarray], Network]]:
    """The golden arrays, and the small released denoiser with both branches of guidance in one batch."""
    torch = pytest.importorskip("torch")
    from mdsgen.weights.release import denoiser_from_state

    arrays = golden()
    denoiser = denoiser_from_state(released_state(), DECODE_LAYER, "the fixture")
    features = torch.from_numpy(arrays["video_features"]).expand(2, -1, -1)
    drop = torch.tensor([False, True])

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            both = torch.from_numpy(latent).expand(2, -1, -1, -1)
            noise = denoiser(both, torch.full((2,), timestep), features, drop_condition=drop)[:, : latent.shape[1]]
        return noise[:1].numpy(), noise[1:].numpy()

    with one_thread():
        yield arrays, network


@pytest.mark.parametrize("steps", STEPS)
def test_gives_the_published_sample(released: tuple[dict[str, np.ndarray], Network], steps: int) -> None:
    arrays, network = released
    mine = sampled(network, arrays["latent"], steps)
    assert mine.dtype == np.float32
    assert relative_error(mine, arrays[f"sample_{steps}"]) < TOLERANCE


# An exact solution


@pytest.mark.parametrize(("solver", "factor"), [("ddim", 2.0), ("dpm-2m", 4.0)])
@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_converges_to_the_exact_solution_with_its_order(solver: str, factor: float, deviation: float) -> None:
    mean = 0.7
    exact = gaussian_solution(some_noise(), mean, deviation)
    network = network_of(lambda x, timestep: gaussian_noise(x, timestep, mean, deviation))
    errors = [relative_error(sampled(network, some_noise(), steps, solver=solver), exact) for steps in (80, 160, 320)]
    assert errors[-1] < (6e-3 if solver == "ddim" else 1e-3)
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), factor, rtol=0.1)


def test_guidance_moves_the_mean_as_far_as_it_says() -> None:
    """Of two Gaussians of one width, the guided estimate is that of a third: mean(no) + w · (mean(yes) - mean(no))."""
    exact = gaussian_solution(some_noise(), mean=-0.2 + 3.0 * (0.4 - -0.2), deviation=1.0)
    guided = sampled(
        lambda x, timestep: (gaussian_noise(x, timestep, 0.4, 1.0), gaussian_noise(x, timestep, -0.2, 1.0)),
        some_noise(),
        steps=320,
        guidance=3.0,
        guidance_power=0.0,  # the same strength at every step
    )
    assert relative_error(guided, exact) < 1e-3


@settings(max_examples=15)
@given(st.integers(1, 30), st.sampled_from(SOLVERS), st.integers(0, 100))
def test_the_right_noise_is_taken_away_in_any_number_of_steps(steps: int, solver: str, seed: int) -> None:
    """With data of one value only, every step is exact (but for float32: the first one divides by alpha = 0.006)."""
    network = network_of(lambda x, timestep: gaussian_noise(x, timestep, mean=0.3, deviation=0.0))
    mine = sampled(network, some_noise(seed), steps, solver=solver)
    np.testing.assert_allclose(mine, gaussian_solution(some_noise(seed), 0.3, 0.0), atol=3e-4)


# The contract with the network


def test_guidance_of_one_is_the_conditional_network_alone() -> None:
    conditional = network_of(lambda x, _: np.tanh(x))
    alone = sampled(conditional, some_noise(), steps=8, guidance=7.0)
    both = sampled(lambda x, _: (np.tanh(x), np.cos(3 * x)), some_noise(), steps=8, guidance=1.0)
    np.testing.assert_allclose(both, alone, rtol=1e-4, atol=1e-5)
    guided = sampled(lambda x, _: (np.tanh(x), np.cos(3 * x)), some_noise(), steps=8, guidance=2.0)
    assert relative_error(guided, alone) > 0.1


@pytest.mark.parametrize("steps", STEPS)
def test_the_network_is_called_once_a_step_with_the_published_timesteps(steps: int) -> None:
    told: list[float] = []

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        assert (latent.shape, latent.dtype) == ((1, *WIDE.latent_shape), np.float32)
        told.append(timestep)
        return latent.copy(), latent.copy()

    sampled(network, some_noise(), steps)
    assert all(type(timestep) is float for timestep in told)
    np.testing.assert_allclose(told, golden()[f"timesteps_{steps}"], atol=1e-4)


def test_one_step_is_enough_for_an_answer() -> None:
    mine = sampled(network_of(lambda x, _: x), some_noise(), steps=1)
    clean = some_noise() * (1.0 - np.sqrt(1.0 - alpha(999) ** 2)) / alpha(999)
    expected = alpha(0) * clean + np.sqrt(1.0 - alpha(0) ** 2) * some_noise()
    np.testing.assert_allclose(mine, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_the_noise_is_left_as_it_was(dtype: type[np.floating[Any]]) -> None:
    noise = some_noise().astype(dtype)
    before = noise.copy()
    mine = sampled(network_of(lambda x, _: 0.5 * x), noise, steps=3)
    np.testing.assert_array_equal(noise, before)
    assert (mine.shape, mine.dtype) == (noise.shape, np.float32)
    assert not np.shares_memory(mine, noise)


def test_the_networks_own_arrays_are_left_as_they_were() -> None:
    kept = np.full((2, *WIDE.latent_shape), 0.25, np.float32)
    sampled(lambda x, _: (kept[:1], kept[1:]), some_noise(), steps=3)
    np.testing.assert_array_equal(kept, 0.25)


@pytest.mark.parametrize("wrong", ["conditional", "unconditional"])
@pytest.mark.parametrize("shape", [(1, 1, 4, 24), (3, 4, 24), (1, 6, 4, 24), ()])
def test_an_estimate_of_another_shape_is_refused(wrong: str, shape: tuple[int, ...]) -> None:
    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        misshapen = np.zeros(shape, np.float32)
        return (misshapen, latent) if wrong == "conditional" else (latent, misshapen)

    with pytest.raises(TensorError) as refusal:
        sampled(network, some_noise(), steps=2)
    for part in (f"network's {wrong} estimate", "[1, 3, 4, 24]", str(list(shape))):
        assert part in str(refusal.value)


def test_impossible_settings_are_refused_before_the_network_is_called() -> None:
    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("called")

    with pytest.raises(SettingsError, match="steps must be a whole number from 1 to 1000, not 1001"):
        sampled(network, some_noise(), 1001)


# The noise to start from


@pytest.mark.parametrize("geometry", [PAPER, RELEASE, WIDE, TALL], ids=lambda g: g.name)
def test_noise_has_the_latents_shape(geometry: Geometry) -> None:
    noise = seeded_noise(geometry, seed=0)
    assert (noise.shape, noise.dtype) == ((1, *geometry.latent_shape), np.float32)


@settings(max_examples=25)
@given(st.integers(0, 2**63), st.integers(0, 10_000))
def test_noise_depends_on_seed_and_window_alone(seed: int, window: int) -> None:
    noise = seeded_noise(WIDE, seed, window)
    np.testing.assert_array_equal(seeded_noise(WIDE, seed, window), noise)
    for other in (seeded_noise(WIDE, seed + 1, window), seeded_noise(WIDE, seed, window + 1)):
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.35  # 288 values: 0.35 is six deviations


def test_noise_is_standard_normal() -> None:
    noise = np.concatenate([seeded_noise(RELEASE, seed=1, window=window).ravel() for window in range(8)])
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert (noise**3).mean() == pytest.approx(0, abs=0.05)
    assert (noise**4).mean() == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(
    ("seed", "window", "first"),
    [
        (0, 0, [1.117622, -1.3871249, -0.4265716, -0.80358726]),
        (3, 2, [0.8538944, 0.04479673, -0.92755675, -0.40818852]),
    ],
)
def test_a_seed_means_the_same_noise_everywhere(seed: int, window: int, first: list[float]) -> None:
    np.testing.assert_allclose(seeded_noise(PAPER, seed, window)[0, 0, 0, :4], first, rtol=1e-6)
