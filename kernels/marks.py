"""The marks of known columns in the modulations: the NumPy reference of the kernel behind the conditioning."""

from __future__ import annotations

import numpy as np


def add_marks(modulations: np.ndarray, marks: np.ndarray) -> None:
    """Add ``marks [columns, D]`` to the last rows of all ``modulations [..., V, D]``, in place: a time column's own."""
    modulations[..., modulations.shape[-2] - len(marks) :, :] += marks
