"""How long work tells whoever started it what it is doing, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

Report = Callable[[str], None]
"""Takes one line about what is being done, or how far it is."""


def silent(_line: str) -> None:
    """Says nothing."""


class Interim(str):
    """A line that says how far work is: the next one takes its place where a person watches, nobody else needs it."""

    __slots__ = ()


class Pace:
    """Foresees, from how much of some work was done since it began, when all of it will be."""

    def __init__(self, done: int = 0) -> None:
        self._started, self._first = time.perf_counter(), done

    def per_second(self, done: float) -> float:
        """Pieces a second so far."""
        return (done - self._first) / max(time.perf_counter() - self._started, 1e-9)

    def left(self, done: float, total: int) -> str:
        """Such as ``"12 min left, done at 14:35"``; nothing where nothing is left, or nothing is known yet."""
        if done <= self._first or done >= total:
            return ""
        seconds = (total - done) / self.per_second(done)
        return f"{_duration(seconds)} left, done {_moment(seconds)}"

    def line(self, done: int, total: int, what: str) -> Interim:
        """Such as ``"3 of 8 shards rendered  12 min left, done at 14:35"``."""
        return Interim(f"{done} of {total} {what}  {self.left(done, total)}".rstrip())


def counted(things: Iterable[T], total: int, what: str, report: Report) -> Iterator[T]:
    """The same things; before each a line says which of them is next, such as ``"clip 3 of 8 (12 s left, …)"``."""
    pace = Pace()
    for done, thing in enumerate(things):
        left = pace.left(done, total)
        report(Interim(f"{what} {done + 1} of {total}" + (f" ({left})" if left else "")))
        yield thing


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _moment(seconds: float) -> str:
    now = datetime.now()
    try:
        then = now + timedelta(seconds=seconds)
    except OverflowError:
        return "one day"
    return then.strftime("at %H:%M" if then.date() == now.date() else "on %Y-%m-%d at %H:%M")
