"""Tables of words and figures: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], *, figures: bool = False) -> str:
    """Rows as lines, each column as wide as its longest cell; with ``figures`` all but the first one set to the right.

    All rows have equally many cells; without rows there is nothing.
    """
    rows = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if figures and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one as its head."""
    head, *body = [tuple(row) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
