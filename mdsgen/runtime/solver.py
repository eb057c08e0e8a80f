"""DPM-Solver++, multistep, with every coefficient computed before the first step.

Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models" (2022), algorithm 2, in
data prediction form. As in the authors' release the times are uniform, the first step is of first order, and so is the
last one where there are fewer than ten steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.kernels import StepCoefficients
from mdsgen.runtime.guidance import guidance_scale
from mdsgen.runtime.schedule import NoiseSchedule

_FEW_STEPS = 10  # below this many, the last step is of first order, for stability


@dataclass(frozen=True)
class SolverStep:
    """One step: what the network is told, and what to do with what it says."""

    timestep: float
    coefficients: StepCoefficients


def solver_steps(
    steps: int,
    guidance: float,
    guidance_power: float,
    order: int = 2,
    schedule: NoiseSchedule | None = None,
) -> tuple[SolverStep, ...]:
    """The whole way from noise to latent. Raises :class:`SettingsError` for impossible steps, order or guidance."""
    schedule = schedule or NoiseSchedule()
    if isinstance(steps, bool) or steps not in range(1, schedule.steps + 1):
        raise SettingsError(f"steps must be a whole number from 1 to {schedule.steps}, not {steps!r}")
    if order not in (1, 2):
        raise SettingsError(f"solver order must be 1 or 2, not {order!r}")
    if not (math.isfinite(guidance) and 0 <= guidance_power < math.inf):
        raise SettingsError(f"guidance must be finite, its power 0 or more, not {guidance!r} and {guidance_power!r}")
    times = schedule.times(int(steps))  # [steps + 1]
    timesteps = schedule.timestep(times[:-1])  # [steps]
    scales = guidance_scale(timesteps, guidance, guidance_power)  # [steps]
    rows = _coefficients(schedule, times, order)  # [steps, 5]
    return tuple(
        SolverStep(float(timestep), StepCoefficients(float(scale), *map(float, row)))
        for timestep, scale, row in zip(timesteps, scales, rows, strict=True)
    )


def _coefficients(schedule: NoiseSchedule, times: np.ndarray, order: int) -> np.ndarray:
    """Per step: next latent from (latent, noise, previous clean), clean latent from (latent, noise)."""
    alpha, sigma = schedule.alpha(times), schedule.sigma(times)
    step = np.diff(schedule.half_log_snr(times))  # [steps], h in the paper
    keep = sigma[1:] / sigma[:-1]  # of the latent
    add = -alpha[1:] * np.expm1(-step)  # of the estimated clean latent
    lean = np.zeros_like(step)  # 1 / 2r: how far the second order leans on the step before
    if order == 2:
        lean[1:] = 0.5 * step[1:] / step[:-1]
        if len(step) < _FEW_STEPS:
            lean[-1] = 0.0
    clean_latent, clean_noise = 1.0 / alpha[:-1], -sigma[:-1] / alpha[:-1]
    of_clean = add * (1.0 + lean)
    next_latent = keep + of_clean * clean_latent
    next_noise = of_clean * clean_noise
    return np.stack([next_latent, next_noise, -add * lean, clean_latent, clean_noise], axis=1)
