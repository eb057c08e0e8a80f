"""The Fréchet distance of normal distributions, where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import TensorError
from mdsgen.evaluation import frechet_distance


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((500, 6))


def test_a_set_is_at_no_distance_from_itself(vectors: np.ndarray) -> None:
    assert frechet_distance(vectors, vectors[::-1]) == pytest.approx(0, abs=1e-9)


def test_a_move_counts_by_its_square(vectors: np.ndarray) -> None:
    assert frechet_distance(vectors, vectors + np.array([3, 4, 0, 0, 0, 0])) == pytest.approx(25)


def test_a_wider_set_is_apart_by_the_difference_of_deviations(vectors: np.ndarray) -> None:
    variances = vectors.var(axis=0, ddof=1)
    assert frechet_distance(vectors, 3 * vectors) == pytest.approx(
        4 * variances.sum() + 4 * (vectors.mean(0) ** 2).sum()
    )


def test_it_is_the_same_both_ways(vectors: np.ndarray) -> None:
    other = vectors[:200] @ np.random.default_rng(1).standard_normal((6, 6))
    assert frechet_distance(vectors, other) == pytest.approx(frechet_distance(other, vectors))


def test_one_vector_has_no_distribution(vectors: np.ndarray) -> None:
    with pytest.raises(TensorError, match="at least two"):
        frechet_distance(vectors[:1], vectors)
