"""What a caller hands over: numbers, rates and seeds, refused in one line where they are none."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from mdsgen.errors import SettingsError

_SLOWEST, _FASTEST = 1e-3, 1e3  # pictures per second


def is_number(value: object) -> bool:
    """Infinite is one, too: a duration of it lasts to the end."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # whole numbers may be larger than any float
        return False


def is_finite(value: object) -> bool:
    """Whether it is a number that is not infinite."""
    return is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def checked_rate(frame_rate: float) -> Fraction:
    """Pictures per second. Raises :class:`SettingsError` for what cannot be."""
    if not is_number(frame_rate) or not _SLOWEST <= frame_rate <= _FASTEST:
        raise SettingsError(f"frame_rate must be a number from {_SLOWEST:g} to {_FASTEST:g}, not {frame_rate!r:.80}")
    return Fraction(float(frame_rate))


def check_seed(seed: int) -> None:
    """Raise :class:`SettingsError` for what is no seed."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise SettingsError(f"a seed must be a whole number, 0 or more, not {seed!r:.80}")
