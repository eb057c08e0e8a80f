"""Which of two rows of onsets belong to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 0.125
"""Seconds that an onset may be early or late: half the time between two pictures."""
STRICT_TOLERANCE = 0.05
"""Seconds from which on a person begins to notice."""


@dataclass(frozen=True)
class Matches:
    """How many onsets were ``found``, how many are ``true``, and how many of both are ``matched``, each once."""

    found: int = 0
    true: int = 0
    matched: int = 0

    def __add__(self, other: Matches) -> Matches:
        return Matches(self.found + other.found, self.true + other.true, self.matched + other.matched)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 where nothing was to be found and nothing was."""
        return 2 * self.matched / (self.found + self.true) if self.found + self.true else 1.0

    @property
    def precision(self) -> float:
        """Share of the onsets found that are true."""
        return self.matched / self.found if self.found else float(not self.true)

    @property
    def recall(self) -> float:
        """Share of the true onsets that were found."""
        return self.matched / self.true if self.true else 1.0


def match(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> Matches:
    """Match ascending times in seconds one to one, as many as possible, none farther apart than ``tolerance``.

    Taking the earliest that fits, in order of time, is the largest matching there is: all tolerances are the same.
    """
    matched = here = there = 0
    while here < len(found) and there < len(true):
        difference = found[here] - true[there]
        if abs(difference) <= tolerance:
            matched, here, there = matched + 1, here + 1, there + 1
        elif difference < 0:
            here += 1
        else:
            there += 1
    return Matches(len(found), len(true), matched)


def coincide(times: np.ndarray, others: np.ndarray) -> bool:
    """Whether more than half of the onsets of two rows match, so that one could stand for the other."""
    return match(times, others).f1 > 0.5
