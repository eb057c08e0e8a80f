"""One guided solver step as arithmetic on arrays: the NumPy reference of the kernel between two denoiser passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mdsgen.errors import KernelError


class Level(NamedTuple):
    """How noisy something is: the shares of what it is when clean, and of the noise."""

    clean: float
    noise: float


CLEAN = Level(1.0, 0.0)


@dataclass(frozen=True)
class StepCoefficients:
    """All that a step needs beside its arrays; computed ahead for every step.

    With the guided estimate, of noise or velocity, ``e = unconditional + guidance · (conditional - unconditional)``::

        next  = latent · next_latent + e · next_noise + previous · next_previous + Σ older[i] · next_older[i]
        clean = latent · clean_latent + e · clean_noise

    where ``previous`` is the step before's ``clean``, ``older[0]`` that of the step before that, and so on: as many as
    the solver looks back, and the same number in every step. Where ``clean`` would be farther from 0 than
    ``clean_limit`` it stops there, and ``next`` is what follows from that: guidance must not leave the range of what
    the model was trained on (static thresholding; Saharia et al., 2022). Whatever is known already has the level
    ``known`` in ``next``, and no noise in ``clean``.
    """

    guidance: float
    next_latent: float
    next_noise: float
    next_previous: float
    clean_latent: float
    clean_noise: float
    next_older: tuple[float, ...] = ()
    clean_limit: float = math.inf
    known: Level = CLEAN


MOST_OLDER = 2
"""How many clean estimates before the previous one the device kernel can look at."""


def coefficient_table(steps: Iterable[StepCoefficients]) -> np.ndarray:
    """What the device kernel reads its coefficients from: a row per step, float32 ``[steps, 12]``."""
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
        *c.known,
    ]


def guided_step(
    latent: np.ndarray,
    conditional: np.ndarray,
    unconditional: np.ndarray,
    clean: np.ndarray,
    coefficients: StepCoefficients,
    older: Sequence[np.ndarray] = (),
    held: np.ndarray | None = None,
) -> None:
    """Advance ``latent`` by one step, in place; ``clean`` (previous in, this step's out) is updated in place as well.

    So are the arrays of ``older``, one for each of ``next_older``: each takes over what the one before it held. All
    arrays have one shape and dtype; the two noise estimates are left as they are. ``held`` is what is known of the
    latent, three such arrays in one: see :func:`hold`.
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
    if held is not None:
        hold(latent, held, c.known)
        hold(clean, held, CLEAN)


def hold(array: np.ndarray, held: np.ndarray, level: Level) -> None:
    """Put what is known into ``array``, in place, at a level of noise.

    ``held [3, *array.shape]``: of every number whether it is known (1 or 0), what it is, and the noise that it is part
    of where it is noisy. All that is known is one array, for every engine the same.
    """
    is_known, clean, noise = held
    np.copyto(array, clean * level.clean + noise * level.noise, where=is_known != 0)
