"""From noise to latent: the diffusion loop in NumPy, around any network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdsgen.errors import TensorError
from mdsgen.geometry import Geometry
from mdsgen.kernels import guided_step, hold
from mdsgen.runtime.solver import Plan, plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

Estimates = tuple[np.ndarray, np.ndarray]
"""Conditional and unconditional noise or velocity, each of the latent's shape."""

Network = Callable[[np.ndarray, float], Estimates]
"""``network(latent, timestep) -> (conditional, unconditional)`` estimates, each of the latent's shape."""

OnStep = Callable[[int], None]
"""Called with the number of solver steps done. It stops the run by raising."""


def sample(network: Network, noise: np.ndarray, sampling: Sampling, schedule: NoiseSchedule) -> np.ndarray:
    """The latent that a network trained with ``schedule`` makes of ``noise``; same shape, float32.

    The network is called once a step with the current latent, which it must not change or keep, and the timestep
    (from the schedule's last one down to 0, fractional). Raises :class:`SettingsError` as :func:`plan_steps` does, and
    :class:`TensorError` where an estimate does not have the latent's shape.
    """
    plan = plan_steps(sampling, schedule)

    def estimate(latent: np.ndarray, index: int) -> Estimates:
        estimates = network(latent, plan[index].timestep)
        for name, found in zip(("conditional", "unconditional"), estimates, strict=True):
            if np.shape(found) != latent.shape:
                raise TensorError(
                    f"expected the network's {name} estimate in the latent's shape {list(latent.shape)},"
                    f" got {list(np.shape(found))}"
                )
        return estimates

    return solve(noise, plan, estimate)


def solve(
    noise: np.ndarray,
    plan: Plan,
    estimate: Callable[[np.ndarray, int], Estimates],
    on_step: OnStep = lambda done: None,
    held: np.ndarray | None = None,
) -> np.ndarray:
    """The diffusion loop: ``noise`` -> latent, float32. ``estimate(latent, index)`` is the network at that step.

    Where columns are known they are ``held`` (as :func:`~mdsgen.runtime.continuation.held_columns` makes it) all the
    way, and come out as they are.
    """
    latent = np.array(noise, dtype=np.float32)
    if held is not None:
        hold(latent, held, plan[0].known)
    clean = np.zeros_like(latent)
    older = [np.zeros_like(latent) for _ in plan[0].coefficients.next_older]
    for index, step in enumerate(plan):
        conditional, unconditional = estimate(latent, index)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever takes the latent looks at it
            guided_step(latent, conditional, unconditional, clean, step.coefficients, older, held)
        on_step(index + 1)
    return latent


def seeded_noise(geometry: Geometry, seed: int, window: int = 0) -> np.ndarray:
    """The start of one window's diffusion: standard normal ``[1, C, H, W]`` in float32.

    Depends on seed and window alone (PCG64 seeded by both), so that any window of a long video can be made on its own.
    """
    generator = np.random.default_rng([seed, window])
    return generator.standard_normal((1, *geometry.latent_shape), dtype=np.float32)
