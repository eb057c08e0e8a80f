"""Display matrices: eight ways to hold a camera."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mdsgen.media.orientation import rotation, upright

ONE = 1 << 16
MATRICES = [
    *[(a * ONE, 0, 0, d * ONE) for a, d in itertools.product((1, -1), repeat=2)],
    *[(0, b * ONE, c * ONE, 0) for b, c in itertools.product((1, -1), repeat=2)],
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_pixel_lands_where_the_matrix_puts_it(matrix):
    a, b, c, d = (value // ONE for value in matrix)
    picture = np.arange(6).reshape(2, 3)
    seen = upright(picture, matrix)
    assert seen.shape == ((2, 3) if a else (3, 2))
    places = {(a * x + c * y, b * x + d * y): picture[y, x] for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    for (x, y), value in places.items():
        assert seen[y - top, x - left] == value


def test_rotation_counts_clockwise():
    assert [rotation(m) for m in [(ONE, 0, 0, ONE), (0, ONE, -ONE, 0), (-ONE, 0, 0, -ONE), (0, -ONE, ONE, 0)]] == [
        0,
        90,
        180,
        270,
    ]
