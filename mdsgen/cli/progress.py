"""How far films are, for a person who watches: a bar for one, a line with the time left for a batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import click

from mdsgen.report import Interim, Pace, Report
from mdsgen.runtime.job import Job


class Progress(Protocol):
    """Is told how far films are."""

    def advance(self, job: Job, fraction: float) -> None:
        """A film is so far, 0 to 1."""

    def end(self, job: Job) -> None:
        """A film is done, or has failed: from here on lines may be written until the next word."""


@contextmanager
def progress_of(jobs: int, report: Report, quiet: bool) -> Iterator[Progress]:
    """Shows the progress of so many films within this block, at a terminal and unless ``quiet``."""
    if jobs != 1:
        yield _Tally(jobs, report)
        return
    with ExitStack() as stack:
        yield _Bar(stack, shown=not quiet and sys.stderr.isatty())


class _Tally:
    def __init__(self, total: int, report: Report) -> None:
        self._total, self._report = total, report
        self._pace, self._done, self._under_way = Pace(), 0, dict[Job, float]()

    def advance(self, job: Job, fraction: float) -> None:
        self._under_way[job] = fraction
        done = self._done + sum(self._under_way.values())
        self._report(Interim(f"{self._done} of {self._total} videos  {self._pace.left(done, self._total)}".rstrip()))

    def end(self, job: Job) -> None:
        self._under_way.pop(job, None)
        self._done += 1
        self._report(Interim(""))


class _Bar:
    """Opened with the first word, in a ``stack`` that is closed at the end in any case."""

    def __init__(self, stack: ExitStack, shown: bool) -> None:
        self._stack, self._shown = stack, shown
        self._bar: click.progressbar | None = None  # type: ignore[valid-type]

    def advance(self, job: Job, fraction: float) -> None:
        if not self._shown:
            return
        if self._bar is None:
            bar = click.progressbar(length=1000, label=job.source.name, file=sys.stderr, show_pos=False)
            self._bar = self._stack.enter_context(bar)
        self._bar.update(round(1000 * fraction) - self._bar.pos)

    def end(self, job: Job) -> None:
        self._stack.close()
