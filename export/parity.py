"""The parity figures of an export: as a table, as words, and whether all of them reach their thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mdsgen.errors import ExportError
from mdsgen.parity import UNUSABLE, Parity
from mdsgen.table import aligned


def table(figures: Sequence[Parity]) -> str:
    """The figures as lines of text, each with its threshold and whether it passed."""
    rows = [("graph", "compared on", "dB", "at least", "")]
    for figure in figures:
        passed = "ok" if figure.passed else "FAILED"
        rows.append((figure.graph, figure.what, in_words(figure.snr_db), f"{figure.threshold:g}", passed))
    return aligned(rows)


def in_words(figure: float) -> str:
    """A figure as a person reads it."""
    if figure == math.inf:
        return "exact"
    return "unusable" if figure == UNUSABLE else f"{figure:.1f}"


def require_passed(figures: Sequence[Parity], beginning: str) -> None:
    """Raise :class:`ExportError` with all figures where one is below its threshold; ``beginning`` says what failed."""
    failed = [figure for figure in figures if not figure.passed]
    if not failed:
        return
    passed = [f"{figure.graph} {in_words(figure.snr_db)}" for figure in figures if figure.passed]
    raise ExportError(
        f"{beginning}: "
        + ", ".join(f"{figure.graph} {in_words(figure.snr_db)} dB of {figure.threshold:g}" for figure in failed)
        + (f"; good enough are {', '.join(passed)}" if passed else "")
        + "; a tolerance accepts less"
    )
