"""The mark of a known column is the same for ever: bundles and their runtimes have to agree on it."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.marks import MARK_STRENGTH, known_mark

SIGNS = [1, -1, 1, -1, 1, -1, -1, -1, -1, 1, 1, -1, -1, 1, -1, 1]


def test_it_is_fixed() -> None:
    assert (known_mark(16) / MARK_STRENGTH).tolist() == SIGNS
    assert known_mark(16).dtype == np.float32


def test_about_as_many_numbers_are_above_0_as_below() -> None:
    assert abs(known_mark(768).mean()) < 0.1 * MARK_STRENGTH


def test_nobody_changes_it_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        known_mark(16)[0] = 0.0
