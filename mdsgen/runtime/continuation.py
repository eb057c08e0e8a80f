"""Going on from known columns, which are held all along the solver's way.

A denoiser that was trained to go on is given them clean in every step, and marked (:mod:`mdsgen.marks`) in the rows of
the modulations that are their own. Any other sees them at every step as they would be there, noised to that step's
level (as RePaint; Lugmayr et al., 2022). Either paints the others so that they go with them.
"""

from __future__ import annotations

import numpy as np

from mdsgen.marks import known_mark
from mdsgen.runtime.known import Known
from mdsgen.runtime.solver import SolverStep


class Held:
    """The known columns of one window, which starts from ``noise [1, C, H, W]``.

    ``trained``: for a denoiser that was trained to go on.
    """

    def __init__(self, known: Known, noise: np.ndarray, trained: bool = False) -> None:
        self._part, self._trained = known.part, trained
        self._clean = np.asarray(known.latent[self._part], np.float32)
        self._noise = np.array(noise[self._part], np.float32)

    def before(self, step: SolverStep, latent: np.ndarray) -> None:
        """Put them into the ``latent`` that the denoiser sees in ``step``: clean where it was trained so, else as noisy
        as the rest, always with the window's own noise."""
        if self._trained:
            self.clean(latent)
            return
        alpha = 1.0 / step.coefficients.clean_latent
        sigma = -step.coefficients.clean_noise * alpha
        latent[self._part] = np.float32(alpha) * self._clean + np.float32(sigma) * self._noise

    def clean(self, estimate: np.ndarray) -> None:
        """Put them into an estimate of the clean latent, or into the latent at the end, as they are."""
        estimate[self._part] = self._clean


def marked(modulations: np.ndarray, known: Known) -> np.ndarray:
    """A copy of all steps' ``modulations [steps, branches, V, D]`` in which the rows of the known columns, the first of
    the last :attr:`~mdsgen.geometry.Geometry.time_columns` rows, have the mark, in both branches."""
    copied = np.array(modulations)
    first = copied.shape[2] - known.geometry.time_columns
    copied[:, :, first : first + known.columns] += known_mark(copied.shape[3])
    return copied
