"""Figures as the words of a table: empty where there is none."""

from __future__ import annotations

from mdsgen.evaluation.matching import Matches


def f1(matches: Matches | None) -> str:
    """Such as ``0.912``."""
    return "" if matches is None else f"{matches.f1:.3f}"


def number(value: float | None) -> str:
    """Such as ``0.31``."""
    return "" if value is None else f"{value:.2f}"


def percent(share: float | None) -> str:
    """Such as ``97.5 %``."""
    return "" if share is None else f"{100 * share:.1f} %"
