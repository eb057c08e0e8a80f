"""The way from noise to latent, with every coefficient computed before the first step.

As in the release of DPM-Solver++ the times are uniform and the first step is of first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.kernels import StepCoefficients
from mdsgen.runtime.guidance import ALWAYS, guidance_scale
from mdsgen.runtime.multistep import Way, dpm_solver, unipc
from mdsgen.runtime.schedule import NoiseSchedule

_TABLES: dict[str, tuple[int, Callable[[Way], np.ndarray]]] = {
    "ddim": (1, partial(dpm_solver, order=1)),
    "dpm-2m": (2, partial(dpm_solver, order=2)),
    "dpm-3m": (3, partial(dpm_solver, order=3)),
    "unipc-2": (3, partial(unipc, order=2)),
    "unipc-3": (4, partial(unipc, order=3)),
}
"""Every solver's clean estimates that a step looks at, its own among them, and its table of weights."""

SOLVERS = tuple(_TABLES)
"""The solvers that there are: DDIM, DPM-Solver++ of order 2 and 3, and UniPC of order 2 and 3."""

DEFAULT_SOLVER = "dpm-2m"
"""The release's."""

FRESH, KEPT, NONE = "fresh", "kept", "none"
"""What a step does about the unconditional branch: compute it, guide as the last step did that computed it, or do
without guidance. With KEPT and NONE one pass of the conditional branch is enough. Computing both branches all the same
is never wrong: NONE has a guidance of exactly 1, and KEPT saves time at the cost of being out of date."""


@dataclass(frozen=True)
class SolverStep:
    """One step: what the network is told, and what to do with what it says."""

    timestep: float
    coefficients: StepCoefficients
    unconditional: str = FRESH


def solver_steps(
    steps: int,
    guidance: float,
    guidance_power: float,
    solver: str = DEFAULT_SOLVER,
    schedule: NoiseSchedule | None = None,
    guidance_interval: tuple[float, float] = ALWAYS,
    unconditional_every: int = 1,
    clean_limit: float = math.inf,
) -> tuple[SolverStep, ...]:
    """The whole way from noise to latent. Raises :class:`SettingsError` for what is impossible.

    Guidance acts at timesteps inside ``guidance_interval``, ends included. Of the steps there every
    ``unconditional_every``-th computes the unconditional branch. No step takes the clean latent to lie farther from 0
    than ``clean_limit``.
    """
    schedule = schedule or NoiseSchedule()
    _check_steps(steps, solver, schedule)
    _check_guidance(guidance, guidance_power, guidance_interval, unconditional_every)
    if not clean_limit > 0:
        raise SettingsError(f"the limit of the clean latent must be positive, not {clean_limit!r}")
    times = schedule.times(int(steps))  # [steps + 1]
    timesteps = schedule.timestep(times[:-1])  # [steps]
    scales = guidance_scale(timesteps, guidance, guidance_power, guidance_interval)  # [steps]
    way = Way(schedule.alpha(times), schedule.sigma(times), schedule.half_log_snr(times))
    history, table = _TABLES[solver]
    rows = table(way)[:, : 1 + history]  # [steps, 1 + history]
    branches = _unconditional(scales, unconditional_every)
    return tuple(
        SolverStep(float(timestep), _coefficients(way, step, float(scale), row, clean_limit), branch)
        for step, (timestep, scale, row, branch) in enumerate(zip(timesteps, scales, rows, branches, strict=True))
    )


def _coefficients(way: Way, step: int, scale: float, row: np.ndarray, clean_limit: float) -> StepCoefficients:
    """From weights of the clean estimate to those of the noise that it is made from."""
    clean_latent, clean_noise = 1.0 / way.alpha[step], -way.sigma[step] / way.alpha[step]
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


def _unconditional(scales: np.ndarray, every: int) -> list[str]:
    guided = np.cumsum(scales != 1.0) - 1  # how many guided steps there have been
    return [
        NONE if scale == 1.0 else KEPT if count % every else FRESH for scale, count in zip(scales, guided, strict=True)
    ]


def _check_steps(steps: int, solver: str, schedule: NoiseSchedule) -> None:
    if isinstance(steps, bool) or steps not in range(1, schedule.steps + 1):
        raise SettingsError(f"steps must be a whole number from 1 to {schedule.steps}, not {steps!r}")
    if solver not in SOLVERS:
        raise SettingsError(f"solver must be one of {', '.join(SOLVERS)}, not {solver!r}")


def _check_guidance(guidance: float, power: float, interval: tuple[float, float], every: int) -> None:
    if not (math.isfinite(guidance) and 0 <= power < math.inf):
        raise SettingsError(f"guidance must be finite, its power 0 or more, not {guidance!r} and {power!r}")
    low, high = interval
    if not low <= high:
        raise SettingsError(f"a guidance interval is a lower and an upper timestep, not {low!r} and {high!r}")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise SettingsError(f"the unconditional branch is computed every 1, 2, 3, … steps, not every {every!r}")
