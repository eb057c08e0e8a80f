"""Numbers as callers give them, who may give anything. Truth values are none."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from mdsgen.errors import SettingsError

_SLOWEST, _FASTEST = 1e-3, 1e3  # pictures per second


def is_number(value: Any) -> bool:
    """Infinite is a number, too; what is larger than any float is not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def is_finite(value: Any) -> bool:
    """Whether it is a number that has an end."""
    return is_number(value) and math.isfinite(value)


def is_count(value: Any, least: int = 1) -> bool:
    """Whether it is a whole number, ``least`` or more."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def check_seed(seed: Any) -> None:
    """Raise :class:`SettingsError` for what seeds no noise."""
    if not is_count(seed, 0):
        raise SettingsError(f"a seed must be a whole number, 0 or more, not {seed!r:.80}")


def check_frame_rate(frame_rate: Any) -> None:
    """Raise :class:`SettingsError` for what is no number of pictures per second."""
    if not is_number(frame_rate) or not _SLOWEST <= frame_rate <= _FASTEST:
        raise SettingsError(f"frame_rate must be a number from {_SLOWEST:g} to {_FASTEST:g}, not {frame_rate!r:.80}")
