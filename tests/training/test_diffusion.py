"""The diffusion against closed forms, an independent float64 computation, and the published implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.diffusion import Diffusion, Gaussian, bin_log_likelihood, kl_divergence

DIFFUSION = Diffusion()
TIMESTEPS = torch.tensor([0, 1, 250, 500, 999])


def example() -> dict[str, Tensor]:
    """A batch with a plausible estimate of its noise, one clip per timestep, in float64."""
    random = np.random.default_rng(3)
    latent, noise, error, variance = (torch.from_numpy(random.standard_normal((5, 8, 4, 6))) for _ in range(4))
    latent = 0.5 * latent
    noisy = DIFFUSION.add_noise(latent, TIMESTEPS, noise)
    return {"latent": latent, "noisy": noisy, "timestep": TIMESTEPS, "noise": noise + 0.1 * error, "variance": variance}


def at(timestep: int) -> Tensor:
    return torch.tensor([timestep])


# Noise


@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule(2e-4, 0.03, 400)], ids=["default", "another"])
def test_training_adds_the_noise_that_sampling_removes(schedule: NoiseSchedule) -> None:
    diffusion, sampled = Diffusion(schedule), ContinuousSchedule(schedule)
    times = np.arange(1, schedule.train_steps + 1) / schedule.train_steps
    np.testing.assert_allclose(diffusion.alpha_bar.sqrt(), sampled.alpha(times), rtol=1e-10)
    np.testing.assert_allclose((1 - diffusion.alpha_bar).sqrt(), sampled.sigma(times), rtol=1e-10)
    np.testing.assert_allclose(sampled.timestep(times), np.arange(schedule.train_steps), atol=1e-9)


def test_a_velocity_is_the_noise_less_the_clean_latent_and_says_what_the_noise_was() -> None:
    diffusion, batch = Diffusion(NoiseSchedule(target="velocity")), example()
    alpha = diffusion.alpha_bar[TIMESTEPS].sqrt()[:, None, None, None]
    velocity = diffusion.goal(batch["latent"], TIMESTEPS, batch["noise"])
    torch.testing.assert_close(velocity, alpha * batch["noise"] - (1 - alpha**2).sqrt() * batch["latent"])
    noisy = diffusion.add_noise(batch["latent"], TIMESTEPS, batch["noise"])
    torch.testing.assert_close(diffusion.noise_of(velocity, noisy, TIMESTEPS), batch["noise"])


def test_where_noise_is_the_target_it_is_what_is_found() -> None:
    batch = example()
    assert DIFFUSION.goal(batch["latent"], TIMESTEPS, batch["noise"]) is batch["noise"]
    assert DIFFUSION.noise_of(batch["noise"], batch["noisy"], TIMESTEPS) is batch["noise"]


@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule(2e-4, 0.03, 400)], ids=["default", "another"])
def test_logit_normal_timesteps_are_normal_in_their_share_of_noise(schedule: NoiseSchedule) -> None:
    diffusion = Diffusion(schedule)
    drawn = diffusion.sample_timesteps(20_000, torch.Generator().manual_seed(0), "logit-normal")
    logit = 0.5 * ((1 - diffusion.alpha_bar) / diffusion.alpha_bar).log()[drawn]
    shares = [(logit < bound).double().mean().item() for bound in (-1.0, 0.0, 1.0)]
    assert shares == pytest.approx([0.1587, 0.5, 0.8413], abs=0.015)
    assert int(drawn.max()) < schedule.train_steps


@pytest.mark.parametrize("timestep", [0, 300, 999])
def test_unit_variance_stays_unit_variance(timestep: int) -> None:
    generator = torch.Generator().manual_seed(timestep)
    latent, noise = torch.randn(2, 1, 4, 200, 200, generator=generator)
    assert DIFFUSION.add_noise(latent, at(timestep), noise).var().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("timestep", [0, 300, 999])
def test_noise_alone_has_the_schedules_variance(timestep: int) -> None:
    noise = torch.randn(1, 4, 200, 200, generator=torch.Generator().manual_seed(timestep))
    added = DIFFUSION.add_noise(torch.zeros_like(noise), at(timestep), noise)
    expected = 1 - np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[: timestep + 1])
    assert added.var().item() == pytest.approx(expected, rel=0.02)


def test_removing_the_added_noise_gives_the_latent_back() -> None:
    latent, noise = torch.randn(2, 5, 2, 4, 4, dtype=torch.float64)
    noisy = DIFFUSION.add_noise(latent, TIMESTEPS, noise)
    torch.testing.assert_close(DIFFUSION.remove_noise(noisy, TIMESTEPS, noise), latent)


def test_signal_to_noise_falls_from_ten_thousand_to_almost_nothing() -> None:
    ratio = DIFFUSION.signal_to_noise(torch.arange(1000))
    assert ratio[0].item() == pytest.approx((1 - 1e-4) / 1e-4, rel=1e-5)
    assert ratio[-1] < 1e-4
    assert torch.all(ratio.diff() < 0)


def test_timesteps_are_uniform() -> None:
    drawn = DIFFUSION.sample_timesteps(100_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn // 100, minlength=10)
    assert drawn.dtype == torch.int64
    assert (drawn.min(), drawn.max()) == (0, 999)
    assert torch.all((counts - 10_000).abs() < 500)  # five standard deviations


# One step back


@pytest.mark.parametrize("timestep", [1, 2, 500, 999])
def test_posterior_is_bayes_rule(timestep: int) -> None:
    """One step's likelihood times the prior of the step before: precisions add, means weigh by precision."""
    beta = np.linspace(1e-4, 2e-2, 1000)[timestep]
    alpha_bar_before = np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:timestep])
    latent, noisy = torch.randn(2, 1, 1, 3, 3, dtype=torch.float64)
    precision = (1 - beta) / beta + 1 / (1 - alpha_bar_before)
    weighed = math.sqrt(1 - beta) / beta * noisy + math.sqrt(alpha_bar_before) / (1 - alpha_bar_before) * latent
    posterior = DIFFUSION.posterior(latent, noisy, at(timestep))
    torch.testing.assert_close(posterior.mean, weighed / precision)
    torch.testing.assert_close(posterior.log_variance.exp(), torch.full_like(latent, 1 / precision))


@pytest.mark.parametrize("timestep", [1, 500, 999])
def test_variance_output_spans_from_beta_tilde_to_beta(timestep: int) -> None:
    noisy = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    low, high = (DIFFUSION.estimate(noisy, at(timestep), noisy, noisy + v).log_variance for v in (-1, 1))
    middle = DIFFUSION.estimate(noisy, at(timestep), noisy, noisy).log_variance
    assert low.item() == pytest.approx(DIFFUSION.posterior(noisy, noisy, at(timestep)).log_variance.item())
    assert high.exp().item() == pytest.approx(np.linspace(1e-4, 2e-2, 1000)[timestep])
    assert middle.item() == pytest.approx((low + high).item() / 2)


# The bound

finite = st.floats(-5, 5, allow_nan=False)


@given(mean=finite, log_variance=finite)
@settings(max_examples=25)
def test_equal_gaussians_do_not_diverge(mean: float, log_variance: float) -> None:
    gaussian = Gaussian(torch.tensor(mean), torch.tensor(log_variance))
    assert kl_divergence(gaussian, gaussian) == 0


@given(m1=finite, m2=finite, v1=finite, v2=finite)
@settings(max_examples=50)
def test_divergence_is_torchs_own(m1: float, m2: float, v1: float, v2: float) -> None:
    means, log_variances = torch.tensor([m1, m2], dtype=torch.float64), torch.tensor([v1, v2], dtype=torch.float64)
    true, estimate = (Gaussian(means[i], log_variances[i]) for i in (0, 1))
    normal = torch.distributions.Normal(means, (0.5 * log_variances).exp())
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(normal.loc[0], normal.scale[0]),
        torch.distributions.Normal(normal.loc[1], normal.scale[1]),
    )
    torch.testing.assert_close(kl_divergence(true, estimate), expected)


@given(mean=st.floats(-1.5, 1.5), log_variance=st.floats(-9, 1))
@settings(max_examples=25)
def test_probabilities_of_all_bins_sum_to_one(mean: float, log_variance: float) -> None:
    centres = torch.linspace(-1, 1, 256, dtype=torch.float64)
    gaussian = Gaussian(torch.full_like(centres, mean), torch.full_like(centres, log_variance))
    assert bin_log_likelihood(centres, gaussian).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_likelihood_is_the_density_times_the_bins_width() -> None:
    x = torch.tensor(0.2, dtype=torch.float64)
    gaussian = Gaussian(torch.tensor(0.1, dtype=torch.float64), torch.tensor(math.log(0.09), dtype=torch.float64))
    density = math.exp(-0.5 * (0.1 / 0.3) ** 2) / (0.3 * math.sqrt(2 * math.pi))
    assert bin_log_likelihood(x, gaussian).exp().item() == pytest.approx(density * 2 / 255, rel=2e-3)


def test_a_perfect_estimate_costs_nothing_after_the_first_step() -> None:
    latent, noise = torch.randn(2, 4, 2, 4, 4, dtype=torch.float64)
    timestep = TIMESTEPS[1:]
    noisy = DIFFUSION.add_noise(latent, timestep, noise)
    bound = DIFFUSION.variational_bound(latent, noisy, timestep, noise, torch.full_like(noise, -1.0))
    torch.testing.assert_close(bound, torch.zeros_like(bound), rtol=0, atol=1e-10)


def independent_bound(latent: np.ndarray, noisy: np.ndarray, t: int, noise: np.ndarray, v: np.ndarray) -> float:
    """The bound's term of one clip, in NumPy float64, from Bayes' rule and textbook formulas."""
    betas = np.linspace(1e-4, 2e-2, 1000)
    beta, now = betas[t], np.prod(1 - betas[: t + 1])
    clean = (noisy - math.sqrt(1 - now) * noise) / math.sqrt(now)
    before = np.prod(1 - betas[:t])
    tilde = 1 / ((1 - betas[max(t, 1)]) / betas[max(t, 1)] + 1 / (1 - np.prod(1 - betas[: max(t, 1)])))
    sigma = np.sqrt(tilde ** ((1 - v) / 2) * beta ** ((1 + v) / 2))
    if t == 0:

        def cdf(x: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x / sigma + 0.044715 * (x / sigma) ** 3)))

        upper = np.where(latent > 0.999, 1.0, cdf(latent + 1 / 255 - clean))
        lower = np.where(latent < -0.999, 0.0, cdf(latent - 1 / 255 - clean))
        return float(-np.log2(np.maximum(upper - lower, 1e-12)).mean())
    pull = beta * math.sqrt(before) / (1 - now)  # of the clean latent on the mean; the noisy one's part is the same
    nats = np.log(sigma / math.sqrt(tilde)) + (tilde + (pull * (clean - latent)) ** 2) / (2 * sigma**2) - 0.5
    return float(nats.mean() / math.log(2))


def test_bound_equals_an_independent_computation() -> None:
    batch = example()
    arrays = [batch[name].numpy() for name in ("latent", "noisy", "noise", "variance")]
    expected = [
        independent_bound(latent, noisy, t, noise, v)
        for t, latent, noisy, noise, v in zip(TIMESTEPS.tolist(), *arrays, strict=True)
    ]
    np.testing.assert_allclose(DIFFUSION.variational_bound(**batch), expected, rtol=1e-8)


def test_bound_equals_the_published_implementation() -> None:
    """The numbers are what MDSGen's public code gives for this batch in float32."""
    published = torch.tensor([1.4374490, 0.0971906, 8.79927e-05, 8.28844e-05, 1.671483e-04])
    single = {name: value if name == "timestep" else value.float() for name, value in example().items()}
    torch.testing.assert_close(DIFFUSION.variational_bound(**single), published, rtol=1e-4, atol=0)


def test_bound_stays_finite_for_a_wild_estimate() -> None:
    batch = {name: value if name == "timestep" else 10 * value.float() for name, value in example().items()}
    batch["variance"] = batch["variance"].clamp(-3, 3)
    assert torch.isfinite(DIFFUSION.variational_bound(**batch)).all()
