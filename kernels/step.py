"""One guided solver step as arithmetic on arrays: the NumPy reference of the kernel between two denoiser passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mdsgen.errors import KernelError


@dataclass(frozen=True)
class StepCoefficients:
    """All that a step needs beside its arrays; computed ahead for every step.

    With the guided noise ``e = unconditional + guidance · (conditional - unconditional)``::

        next  = latent · next_latent + e · next_noise + previous · next_previous + Σ older[i] · next_older[i]
        clean = latent · clean_latent + e · clean_noise

    where ``previous`` is the step before's ``clean``, ``older[0]`` that of the step before that, and so on: as many as
    the solver looks back, and the same number in every step. Where ``clean`` would be farther from 0 than
    ``clean_limit`` it stops there, and ``next`` is what follows from that: guidance must not leave the range of what
    the model was trained on (static thresholding; Saharia et al., 2022).
    """

    guidance: float
    next_latent: float
    next_noise: float
    next_previous: float
    clean_latent: float
    clean_noise: float
    next_older: tuple[float, ...] = ()
    clean_limit: float = math.inf


MOST_OLDER = 2
"""How many clean estimates before the previous one the device kernel can look at."""


def coefficient_table(steps: Iterable[StepCoefficients]) -> np.ndarray:
    """What the device kernel reads its coefficients from: a row per step, float32 ``[steps, 10]``."""
    return np.array([_row(coefficients) for coefficients in steps], np.float32)


def _row(c: StepCoefficients) -> list[float]:
    if len(c.next_older) > MOST_OLDER:
        raise KernelError(
            f"the device kernel looks at {MOST_OLDER} older clean estimates at most, not {len(c.next_older)}"
        )
    older = [*c.next_older, *[0.0] * (MOST_OLDER - len(c.next_older))]
    next_per_clean = c.next_noise / c.clean_noise if c.clean_noise else 0.0
    history = [c.next_previous, *older]
    return [
        c.guidance,
        c.next_latent,
        c.next_noise,
        *history,
        c.clean_latent,
        c.clean_noise,
        c.clean_limit,
        next_per_clean,
    ]


def guided_step(
    latent: np.ndarray,
    conditional: np.ndarray,
    unconditional: np.ndarray,
    clean: np.ndarray,
    coefficients: StepCoefficients,
    older: Sequence[np.ndarray] = (),
) -> None:
    """Advance ``latent`` by one step, in place; ``clean`` (previous in, this step's out) is updated in place as well.

    So are the arrays of ``older``, one for each of ``next_older``: each takes over what the one before it held. All
    arrays have one shape and dtype; the two noise estimates are left as they are.
    """
    c = coefficients
    noise = conditional - unconditional
    noise *= c.guidance
    noise += unconditional
    following = latent * c.next_latent
    following += noise * c.next_noise
    if c.next_previous:  # a first-order step has no step before it
        following += clean * c.next_previous
    for array, weight in zip(older, c.next_older, strict=True):
        if weight:
            following += array * weight
    for i in reversed(range(len(older))):
        older[i][...] = older[i - 1] if i else clean
    np.multiply(latent, c.clean_latent, out=clean)
    noise *= c.clean_noise
    clean += noise
    if c.clean_limit < math.inf:
        excess = clean - np.clip(clean, -c.clean_limit, c.clean_limit)
        clean -= excess
        following -= excess * (c.next_noise / c.clean_noise)  # by how much ``next`` moves with ``clean``
    latent[...] = following
