"""Checks of what the networks give: a graph may be damaged, or another than its manifest says."""

from __future__ import annotations

import numpy as np

from mdsgen.errors import EngineError, NotFiniteError


def check_shape(graph: str, output: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise :class:`EngineError` where a graph's output has another shape: it would be broadcast without a word."""
    if output.shape != expected:
        raise EngineError(
            f"{graph}: expected an output of shape {list(expected)}, got {list(output.shape)}; export the bundle again"
        )


def check_finite(graph: str, output: np.ndarray) -> None:
    """Raise :class:`NotFiniteError` for NaN and infinite numbers, which would become silence or noise."""
    if not np.isfinite(output).all():
        raise NotFiniteError(
            f"{graph}: its output is not finite: the weights are damaged, or their precision is too low for the model"
        )
