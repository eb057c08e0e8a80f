"""Going on from known columns, which are held all along the solver's way.

A denoiser that was trained to go on is given them clean in every step, and marked (:mod:`mdsgen.marks`) in the rows of
the modulations that are their own. Any other sees them at every step as they would be there, noised to that step's
level (as RePaint; Lugmayr et al., 2022). Either paints the others so that they go with them. The levels are the plan's
(:func:`~mdsgen.runtime.solver.plan_steps`); what is known is the arrays that are made here, on every engine.
"""

from __future__ import annotations

import numpy as np

from mdsgen.marks import known_mark
from mdsgen.runtime.known import Known


def held_columns(known: Known, noise: np.ndarray) -> np.ndarray:
    """What :func:`mdsgen.kernels.hold` puts into the latents of the window that starts from ``noise [1, C, H, W]``:
    float32 ``[3, 1, C, H, W]``, zero where nothing is known."""
    held = np.zeros((3, *noise.shape), np.float32)
    for row, values in zip(held, (1.0, known.latent[known.part], noise[known.part]), strict=True):
        row[known.part] = values
    return held


def column_marks(known: Known, width: int) -> np.ndarray:
    """The mark of every time column ``[columns, D]``, zero where it is not known: what
    :func:`mdsgen.kernels.add_marks` adds to the last rows of all steps' modulations ``[steps, branches, V, D]``."""
    marks = np.zeros((known.geometry.time_columns, width), np.float32)
    marks[: known.columns] = known_mark(width)
    return marks
