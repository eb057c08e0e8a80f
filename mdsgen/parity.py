"""How close a network's output comes to a reference: signal-to-noise ratios in dB, more is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

UNUSABLE = -999.0
"""The figure of an output that is not finite, or is something where nothing should be: below every threshold, and a
number that JSON can hold."""


@dataclass(frozen=True)
class Parity:
    """One measured figure of a bundle: how close the output ``what`` of a graph comes to the FP32 reference.

    ``snr_db`` is infinite where the two are equal to the last bit, which JSON writes as null. Raises
    :class:`ValueError` for what is not a figure.
    """

    graph: str
    what: str
    snr_db: float
    threshold: float

    def __post_init__(self) -> None:
        if math.isnan(self.snr_db) or self.snr_db == -math.inf:
            raise ValueError(f"snr_db of {self.graph} ({self.what}) is {self.snr_db}")
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold of {self.graph} ({self.what}) is {self.threshold}")

    @property
    def passed(self) -> bool:
        """Whether the figure reaches its threshold."""
        return self.snr_db >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "snr_db": None if self.snr_db == math.inf else self.snr_db}


def snr_db(reference: np.ndarray, value: np.ndarray) -> float:
    """Signal-to-noise ratio of ``value``; infinite where equal, :data:`UNUSABLE` where it is not finite."""
    reference64, value64 = np.asarray(reference, np.float64), np.asarray(value, np.float64)
    if reference64.shape != value64.shape:
        raise ValueError(f"shapes differ: reference {reference64.shape}, value {value64.shape}")
    if not np.isfinite(value64).all():
        return UNUSABLE
    noise = float(np.sum((value64 - reference64) ** 2))
    if noise == 0.0:
        return math.inf
    signal = float(np.sum(reference64**2))
    return max(UNUSABLE, 10.0 * math.log10(signal / noise)) if signal > 0.0 else UNUSABLE
