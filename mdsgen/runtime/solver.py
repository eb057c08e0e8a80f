"""A clip's solver steps, planned before the first one: every timestep and every coefficient.

As in the release of DPM-Solver++ the times are uniform and the first step is of first order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.kernels import CLEAN, Level, StepCoefficients
from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.runtime.guidance import guidance_scale
from mdsgen.runtime.multistep import NoiseLevels, dpm_solver, unipc
from mdsgen.sampling import PURE_NOISE, Sampling
from mdsgen.schedule import NoiseSchedule

TABLES: dict[str, tuple[int, Callable[[NoiseLevels], np.ndarray]]] = {
    "ddim": (1, partial(dpm_solver, order=1)),
    "dpm-2m": (2, partial(dpm_solver, order=2)),
    "dpm-3m": (3, partial(dpm_solver, order=3)),
    "unipc-2": (3, partial(unipc, order=2)),
    "unipc-3": (4, partial(unipc, order=3)),
}
"""Of every solver: how many clean estimates a step looks at, its own among them, and its table of weights."""

FRESH, KEPT, NONE = "fresh", "kept", "none"
"""What a step does about the unconditional branch: compute it, guide as the last step did that computed it, or do
without guidance. With KEPT and NONE one pass of the conditional branch is enough. Computing both branches all the same
is never wrong: NONE has a guidance of exactly 1, and KEPT saves time at the cost of being out of date."""


@dataclass(frozen=True)
class SolverStep:
    """One step: the timestep that the network is given, and the coefficients of its estimates.

    ``known``: how noisy it sees what is known of the latent.
    """

    timestep: float
    coefficients: StepCoefficients
    unconditional: str = FRESH
    known: Level = CLEAN


Plan = tuple[SolverStep, ...]
"""All steps from noise to latent."""


def plan_steps(sampling: Sampling, schedule: NoiseSchedule, branches: int = 2, continues: bool = False) -> Plan:
    """The steps of a sampling with a model that was trained with this noise schedule and has so many branches.

    ``continues``: it was trained to go on from known columns, and sees them clean; any other sees them as noisy as the
    rest (as RePaint; Lugmayr et al., 2022).
    Raises :class:`SettingsError` for more steps than the model was trained in, and for guidance of one that has no
    unconditional branch.
    """
    if branches == 1 and sampling.guidance != 1.0:
        raise SettingsError(
            f"guidance must be 1, not {sampling.guidance:g}: this bundle's denoiser has its guidance in its weights "
            "and no unconditional branch; leave guidance out"
        )
    if sampling.steps > schedule.train_steps:
        raise SettingsError(
            f"steps must be a whole number from 1 to {schedule.train_steps}, not {sampling.steps!r:.80}"
        )
    continuous = ContinuousSchedule(schedule)
    times = continuous.times(sampling.steps)  # [steps + 1]
    timesteps = continuous.timestep(times[:-1])  # [steps]
    scales = guidance_scale(
        timesteps * (PURE_NOISE / schedule.train_steps),
        sampling.guidance,
        sampling.guidance_power,
        sampling.guidance_interval,
    )  # [steps]
    levels = NoiseLevels(continuous.alpha(times), continuous.sigma(times), continuous.half_log_snr(times))
    history, table = TABLES[sampling.solver]
    rows = table(levels)[:, : 1 + history]  # [steps, 1 + history]
    unconditional = _unconditional(scales, sampling.unconditional_every)
    known = _known(levels, continues)
    coefficients = (
        replace(_coefficients(clean, float(scale), row, sampling.clean_limit), known=level)
        for clean, scale, row, level in zip(_clean(levels, schedule.target), scales, rows, known[1:], strict=True)
    )
    return tuple(
        SolverStep(float(timestep), c, branch, level)
        for timestep, c, branch, level in zip(timesteps, coefficients, unconditional, known[:-1], strict=True)
    )


def timesteps_of(plan: Sequence[SolverStep]) -> np.ndarray:
    """The timesteps that the conditioning graph is given, ``[steps]`` float32."""
    return np.array([step.timestep for step in plan], np.float32)


def passes_of(plan: Sequence[SolverStep]) -> int:
    """How often the denoiser looks at a latent: twice in a step that computes both branches, else once."""
    return sum(2 if step.unconditional == FRESH else 1 for step in plan)


def _clean(levels: NoiseLevels, target: str) -> np.ndarray:
    """How much of the latent and of the network's estimate a clean estimate is in every step, ``[steps, 2]``."""
    alpha, sigma = levels.alpha[:-1], levels.sigma[:-1]
    if target == "velocity":
        return np.stack([alpha, -sigma], axis=1)
    return np.stack([1.0 / alpha, -sigma / alpha], axis=1)


def _coefficients(clean: np.ndarray, scale: float, row: np.ndarray, clean_limit: float) -> StepCoefficients:
    """From weights of the clean estimate to those of the noise or velocity that it is made from."""
    clean_latent, clean_noise = clean
    keep, of_clean, *earlier = row
    return StepCoefficients(
        guidance=scale,
        next_latent=float(keep + of_clean * clean_latent),
        next_noise=float(of_clean * clean_noise),
        next_previous=float(earlier[0]) if earlier else 0.0,
        clean_latent=float(clean_latent),
        clean_noise=float(clean_noise),
        next_older=tuple(map(float, earlier[1:])),
        clean_limit=float(clean_limit),
    )


def _known(levels: NoiseLevels, continues: bool) -> list[Level]:
    """Of what is known, before every step and after the last one: clean there, whatever is left of the noise."""
    noisy = zip(levels.alpha[:-1], levels.sigma[:-1], strict=True)
    before = [CLEAN if continues else Level(float(alpha), float(sigma)) for alpha, sigma in noisy]
    return [*before, CLEAN]


def _unconditional(scales: np.ndarray, every: int) -> list[str]:
    guided = np.cumsum(scales != 1.0) - 1  # how many guided steps there have been
    return [
        NONE if scale == 1.0 else KEPT if count % every else FRESH for scale, count in zip(scales, guided, strict=True)
    ]
