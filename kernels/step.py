"""One guided solver step as arithmetic on arrays: the NumPy reference of the kernel between two denoiser passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StepCoefficients:
    """All that a step needs beside its arrays; computed ahead for every step.

    With the guided noise ``e = unconditional + guidance · (conditional - unconditional)``::

        next  = latent · next_latent + e · next_noise + previous · next_previous
        clean = latent · clean_latent + e · clean_noise

    where ``previous`` is the step before's ``clean``.
    """

    guidance: float
    next_latent: float
    next_noise: float
    next_previous: float
    clean_latent: float
    clean_noise: float


def guided_step(
    latent: np.ndarray,
    conditional: np.ndarray,
    unconditional: np.ndarray,
    clean: np.ndarray,
    coefficients: StepCoefficients,
) -> None:
    """Advance ``latent`` by one step, in place; ``clean`` (previous in, this step's out) is updated in place as well.

    All four arrays have one shape and dtype; the two noise estimates are left as they are.
    """
    c = coefficients
    noise = conditional - unconditional
    noise *= c.guidance
    noise += unconditional
    following = latent * c.next_latent
    following += noise * c.next_noise
    if c.next_previous:  # a first-order step has no step before it
        following += clean * c.next_previous
    np.multiply(latent, c.clean_latent, out=clean)
    noise *= c.clean_noise
    clean += noise
    latent[...] = following
