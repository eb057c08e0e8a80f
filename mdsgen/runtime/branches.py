"""Both noise estimates of a guided step, from as few passes of the network as the step asks for."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mdsgen.runtime.sampler import Estimates
from mdsgen.runtime.solver import FRESH, KEPT, Plan


class GuidedNetwork(Protocol):
    """A network that can compute both branches, or the conditional one alone for less."""

    def denoise(self, latent: np.ndarray, modulations: np.ndarray) -> Estimates:
        """``latent [1, C, H, W]``, ``modulations [2, V, D]`` -> both noises ``[1, C, H, W]``."""

    def denoise_conditional(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        """The first of them alone."""


class Branches:
    """The estimates of one clip's steps, called in their order; ``modulations [steps, 2, V, D]`` are the clip's.

    What is kept between steps is the *difference* of the branches: their direction changes slowly, while the
    unconditional noise itself follows the latent.
    """

    def __init__(self, network: GuidedNetwork, plan: Plan, modulations: np.ndarray) -> None:
        self._network, self._plan, self._modulations = network, plan, modulations
        self._keeps = any(step.unconditional == KEPT for step in plan)
        self._difference = np.zeros(0, np.float32)

    def __call__(self, latent: np.ndarray, index: int) -> Estimates:
        """Conditional and unconditional noise of a step; where it is not guided, the conditional one twice."""
        branch, modulations = self._plan[index].unconditional, self._modulations[index]
        if branch == FRESH:
            conditional, unconditional = self._network.denoise(latent, modulations)
            if self._keeps:
                self._difference = conditional - unconditional
            return conditional, unconditional
        conditional = self._network.denoise_conditional(latent, modulations)
        return conditional, conditional - self._difference if branch == KEPT else conditional
