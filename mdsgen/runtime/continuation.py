"""Going on from known columns by replacement along the solver's way (as RePaint; Lugmayr et al., 2022).

The denoiser sees the known columns at every step as they would be there, noised to that step's level, and paints the
others so that they go with them. It needs no training for that.
"""

from __future__ import annotations

import numpy as np

from mdsgen.runtime.known import Known
from mdsgen.runtime.solver import SolverStep


class Held:
    """The known columns of one window, which starts from ``noise [1, C, H, W]``."""

    def __init__(self, known: Known, noise: np.ndarray) -> None:
        self._part = known.part
        self._clean = np.asarray(known.latent[self._part], np.float32)
        self._noise = np.array(noise[self._part], np.float32)

    def noised(self, latent: np.ndarray, step: SolverStep) -> None:
        """Put them into ``latent`` as noisy as it is before ``step``, always with the window's own noise."""
        alpha = 1.0 / step.coefficients.clean_latent
        sigma = -step.coefficients.clean_noise * alpha
        latent[self._part] = np.float32(alpha) * self._clean + np.float32(sigma) * self._noise

    def clean(self, estimate: np.ndarray) -> None:
        """Put them into an estimate of the clean latent, or into the latent at the end, as they are."""
        estimate[self._part] = self._clean
