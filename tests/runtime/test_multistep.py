"""The solvers' tables: their order where the solution is known, and the trajectories of the field's own library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from mdsgen.kernels import guided_step
from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.runtime.multistep import NoiseLevels, dpm_solver, unipc
from mdsgen.runtime.solver import plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

Table = Callable[[NoiseLevels], np.ndarray]

# The exact solution: data from N(MEAN, DEVIATION²), whose distance from the mean in deviations never changes.
MEAN, DEVIATION, DISTANCE = 0.7, 2.0, 1.3
SKIPPED = 4  # steps at either end, which are of lower order


def even_levels(steps: int) -> NoiseLevels:
    """Steps of one length in half log-SNR, from -2 to 2."""
    half_log_snr = np.linspace(-2, 2, steps + 1)
    alpha = 1 / np.sqrt(1 + np.exp(-2 * half_log_snr))
    return NoiseLevels(alpha, alpha * np.exp(-half_log_snr), half_log_snr)


def exact(levels: NoiseLevels, step: int) -> float:
    spread = np.hypot(levels.alpha[step] * DEVIATION, levels.sigma[step])
    return float(levels.alpha[step] * MEAN + spread * DISTANCE)


def clean_estimate(levels: NoiseLevels, step: int, latent: float) -> float:
    alpha, sigma = levels.alpha[step], levels.sigma[step]
    noise = sigma * (latent - alpha * MEAN) / ((alpha * DEVIATION) ** 2 + sigma**2)
    return float((latent - sigma * noise) / alpha)


def error(table: Table, steps: int) -> float:
    """How far from the exact solution it ends that started on it."""
    levels = even_levels(steps)
    clean = [clean_estimate(levels, step, exact(levels, step)) for step in range(SKIPPED)]
    latent = exact(levels, SKIPPED)
    for step in range(SKIPPED, steps - SKIPPED):
        clean.append(clean_estimate(levels, step, latent))
        keep, *weights = table(levels)[step]
        latent = keep * latent + float(np.dot(weights, clean[:-5:-1]))
    return abs(latent - exact(levels, steps - SKIPPED))


@pytest.mark.parametrize(
    ("table", "order"),
    [
        (partial(dpm_solver, order=1), 1),
        (partial(dpm_solver, order=2), 2),
        (partial(dpm_solver, order=3), 2),  # as published: its last term is half of what the third order needs
        (partial(unipc, order=1), 2),  # the corrector adds one
        (partial(unipc, order=2), 3),
        (partial(unipc, order=3), 4),
    ],
    ids=["ddim", "dpm-2m", "dpm-3m", "unipc-1", "unipc-2", "unipc-3"],
)
def test_the_error_falls_with_the_solver_s_order(table: Table, order: int) -> None:
    errors = [error(table, steps) for steps in (50, 100, 200)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([order] * 2, abs=0.12)


def test_the_third_order_has_the_smaller_error_all_the_same() -> None:
    assert error(partial(dpm_solver, order=3), 50) < 0.35 * error(partial(dpm_solver, order=2), 50)


def estimate(latent: np.ndarray, step: int) -> np.ndarray:
    """A network that is not linear, nor the same in every step."""
    return np.asarray(np.tanh(1.3 * latent + 0.1 * step))


def trajectory(solver: str, noise: np.ndarray, steps: int) -> list[np.ndarray]:
    plan = plan_steps(Sampling(steps, guidance=1.0, solver=solver), NoiseSchedule())
    latent, clean = noise.astype(np.float32), np.zeros(noise.shape, np.float32)
    older = [np.zeros_like(clean) for _ in plan[0].coefficients.next_older]
    latents = []
    for index, step in enumerate(plan):
        found = estimate(latent, index)
        guided_step(latent, found, found, clean, step.coefficients, older)
        latents.append(latent.copy())
    return latents


def diffusers_trajectory(scheduler: Any, noise: np.ndarray, steps: int) -> list[np.ndarray]:
    """By a scheduler of diffusers, brought to this project's times."""
    import torch

    schedule = ContinuousSchedule(NoiseSchedule())
    times = schedule.times(steps)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = torch.from_numpy(schedule.sigma(times) / schedule.alpha(times))
    scheduler.set_begin_index(0)
    latent, latents = torch.from_numpy(noise), []
    for index, timestep in enumerate(scheduler.timesteps):
        found = torch.from_numpy(estimate(latent.numpy(), index))
        latent = scheduler.step(found, timestep, latent, return_dict=False)[0]
        latents.append(latent.numpy())
    return latents


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 9, 15, 25])
@pytest.mark.parametrize(
    ("solver", "scheduler", "order"),
    [
        ("dpm-2m", "DPMSolverMultistepScheduler", 2),
        ("dpm-3m", "DPMSolverMultistepScheduler", 3),
        ("unipc-2", "UniPCMultistepScheduler", 2),
        ("unipc-3", "UniPCMultistepScheduler", 3),
    ],
)
def test_every_latent_is_that_of_diffusers(solver: str, scheduler: str, order: int, steps: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    reference = getattr(diffusers, scheduler)(solver_order=order, final_sigmas_type="sigma_min")
    noise = np.random.default_rng(0).standard_normal((1, 4, 8, 8))
    expected = diffusers_trajectory(reference, noise, steps)
    for mine, theirs in zip(trajectory(solver, noise, steps), expected, strict=True):
        assert np.abs(mine - theirs).max() < 1e-5 * np.abs(theirs).max()
