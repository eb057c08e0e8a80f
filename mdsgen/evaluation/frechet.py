"""The Fréchet distance between two sets of sounds, by the judge's vectors of them."""

from __future__ import annotations

import numpy as np

from mdsgen.errors import TensorError


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Of two normal distributions with the means and covariances of ``first [N, E]`` and ``second [M, E]``.

    ``|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)``, as in Heusel et al. (2017) and Kilgour et al. (2019). Few samples make
    it larger than it is: compare distances of equally many.
    """
    if first.ndim != 2 or second.ndim != 2 or min(len(first), len(second)) < 2:
        raise TensorError(f"expected two sets of at least two vectors, got {list(first.shape)}, {list(second.shape)}")
    apart = first.mean(axis=0) - second.mean(axis=0)
    one, other = np.cov(first, rowvar=False, dtype=np.float64), np.cov(second, rowvar=False, dtype=np.float64)
    root = _root(one)
    # (C1 C2)^½ has the trace of (C1^½ C2 C1^½)^½, whose argument is symmetric.
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    return float(max(apart @ apart + np.trace(one) + np.trace(other) - 2 * overlap, 0.0))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
