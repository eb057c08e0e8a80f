"""How a film of any length, or one without an end, is cut into the model's windows. All in token columns.

A window begins with *context*, which was given out before, then comes the *block* that it gives out, and after that the
*lookahead*: columns that it sees and imagines, so that the block is not the last thing it knows of, and which the next
window imagines again. A film is what has everything to look ahead to: its blocks are as long as a window allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from mdsgen.geometry import Geometry

CONTEXT = 26 / 32
"""Share of a window that is context at least, where there is so much: measured on rendered bells."""


@dataclass(frozen=True)
class Window:
    """One run of the model. It begins with column ``start`` of the film and gives out those from ``given`` to before
    ``until``; nothing of what it imagines from ``end`` on is used."""

    index: int
    start: int
    given: int
    until: int
    end: int


@dataclass(frozen=True)
class WindowPlan:
    """Lengths in columns: the least context, the longest block, and the lookahead. Iterates over :class:`Window`
    without end; each depends on the plan and its own index alone."""

    geometry: Geometry
    context: int
    block: int
    lookahead: int

    def __post_init__(self) -> None:
        if min(self.context, self.lookahead) < 0 or self.block < 1 or self.fresh < 1:
            raise ValueError(f"there is nothing new in a window of {self.geometry.time_columns} columns: {self}")

    @classmethod
    def of_film(cls, geometry: Geometry) -> WindowPlan:
        """For a film, whose windows look ahead by one picture."""
        columns = geometry.time_columns
        lookahead = min(math.ceil(geometry.samples_per_frame / geometry.column_samples), max(0, columns - 2))
        context = min(math.ceil(CONTEXT * columns), columns - 1 - lookahead)
        return cls(geometry, context, columns, lookahead)

    @property
    def fresh(self) -> int:
        """How many columns a window gives out at most that has its context."""
        return self.geometry.time_columns - self.context - self.lookahead

    def __iter__(self) -> Iterator[Window]:
        columns, given = self.geometry.time_columns, 0
        for index in count():
            most = max(columns - self.lookahead, given + self.fresh)
            until = min(given + self.block, most)
            end = until + self.lookahead
            yield Window(index, max(0, end - columns), given, until, end)
            given = until

    def film(self, samples: int) -> Iterator[Window]:
        """The windows of a film that lasts ``samples`` samples: the last one gives out all that it sees."""
        if samples < 1:
            raise ValueError(f"a film of {samples} samples has no window")
        total = math.ceil(samples / self.geometry.column_samples)
        for window in self:
            if window.end >= total:
                yield replace(window, until=total, end=total)
                return
            yield window

    def __str__(self) -> str:
        return f"{self.context} of context, a block of {self.block}, {self.lookahead} of lookahead"
