"""Numbers as callers give them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mdsgen.errors import SettingsError
from mdsgen.values import check_seed, is_count, is_finite, is_number

WHOLE = [0, 7, np.int64(7), np.uint8(7), 2**64]
BROKEN = [0.5, -1.5, np.float32(0.5), Fraction(1, 3)]
ENDLESS = [float("inf"), -np.inf]
NONE = [True, np.True_, None, "1", 1j, [1], np.zeros(1), float("nan"), 10**400]


def test_what_is_a_number_and_what_has_an_end() -> None:
    assert all(map(is_number, [*WHOLE, *BROKEN, *ENDLESS]))
    assert all(map(is_finite, [*WHOLE, *BROKEN]))
    assert not any(map(is_finite, [*ENDLESS, *NONE]))
    assert not any(map(is_number, NONE))


def test_what_counts() -> None:
    assert [value for value in [-1, *WHOLE, *BROKEN] if is_count(value)] == WHOLE[1:]
    assert is_count(0, 0)
    assert not is_count(-1, 0)
    assert not is_count(True)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "1", None])
def test_what_seeds_nothing(seed: object) -> None:
    check_seed(0)
    with pytest.raises(SettingsError, match="a seed must be a whole number, 0 or more, not"):
        check_seed(seed)
