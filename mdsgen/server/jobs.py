"""The clips that are asked for at one moment: one is made, some wait, and no more are taken."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

from mdsgen.errors import Cancelled
from mdsgen.runtime import Progress

T = TypeVar("T")
RECEIVING, WAITING, RUNNING, DONE, FAILED, CANCELLED = "receiving", "waiting", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
STATES = (RECEIVING, WAITING, RUNNING, *ENDED)
_LONGEST_WAIT = 600  # seconds that a client may be told to wait
_FRESH = 0.3  # of the foreseen duration of a clip: what the last one took


class Job:
    """One request's clip, from its arrival to its answer. ``notes`` say what is not as one might expect."""

    def __init__(self, name: str | None, jobs: Jobs) -> None:
        self.name, self.state, self.fraction = name, RECEIVING, 0.0
        self.notes: tuple[str, ...] = ()
        self.cancelled, self._jobs = False, jobs

    def advance(self, progress: Progress) -> bool:
        """As the pipeline's progress callback: False where the work is to stop."""
        self.fraction = progress.fraction
        return not self.is_unwanted

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.cancelled or self._jobs.stopping

    def to_dict(self) -> dict[str, Any]:
        """How far it is, as plain JSON values."""
        values = {"state": self.state, "fraction": round(self.fraction, 4), "ahead": self._jobs.ahead(self)}
        return {**values, "notes": list(self.notes)} if self.notes else values


class Jobs:
    """Takes at most ``waiting`` jobs besides the one that is made, and makes one at a time in a thread.

    ``stopping`` set, from any thread or signal handler, cancels them all and lets none in.
    """

    def __init__(self, waiting: int) -> None:
        self.stopping, self.seconds = False, 5.0  # what a clip takes, until one has shown it
        self._capacity = waiting + 1
        self._jobs: list[Job] = []
        self._executor = ThreadPoolExecutor(1, "mdsgen-serve")
        self._working = False

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def running(self) -> int:
        """How many are being made: one, or none."""
        return int(self._working)

    def ahead(self, job: Job) -> int:
        """How many were there before it and are there still."""
        return self._jobs.index(job) if job in self._jobs else 0

    def named(self, name: str) -> Job | None:
        """The job that a client has given this name."""
        return next((job for job in self._jobs if job.name == name), None)

    @contextmanager
    def place(self, name: str | None) -> Iterator[Job]:
        """A place in the row within this block; where there is none, status 503 with ``Retry-After``."""
        if self.stopping:
            raise HTTPException(503, "the server is stopping", {"Retry-After": "10"})
        if len(self._jobs) >= self._capacity:
            seconds = min(max(math.ceil(self.seconds * len(self._jobs)), 1), _LONGEST_WAIT)
            raise HTTPException(503, f"{len(self)} clips are before you: try again", {"Retry-After": str(seconds)})
        if name is not None and self.named(name):
            raise HTTPException(409, f"there is a job {name} already")
        job = Job(name, self)
        self._jobs.append(job)
        try:
            yield job
            job.state = DONE
        except BaseException as error:
            job.cancelled = True
            job.state = CANCELLED if isinstance(error, (Cancelled, asyncio.CancelledError)) else FAILED
            raise
        finally:
            self._jobs.remove(job)

    async def make(self, job: Job, work: Callable[[], T], departure: Awaitable[None]) -> T:
        """What ``work`` returns, done in the thread when it is this job's turn.

        When ``departure`` comes before, the job is cancelled: :class:`~mdsgen.errors.Cancelled` is raised, and no
        sooner than the work has really stopped.
        """
        job.state = WAITING
        future = self._executor.submit(self._run, job, work)
        result = asyncio.wrap_future(future)
        gone: asyncio.Future[Any] = asyncio.ensure_future(departure)
        try:
            await asyncio.wait([result, gone], return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                job.cancelled = True
                _withdraw(future)
            return await result
        finally:
            job.cancelled = True
            gone.cancel()

    def close(self) -> None:
        """Let the thread end when it has stopped; whoever has to know when asks :meth:`is_idle`."""
        self.stopping = True
        self._executor.shutdown(wait=False)

    def is_idle(self, patience: float) -> bool:
        """Whether the thread has nothing left to do, within ``patience`` seconds."""
        end = time.monotonic() + patience
        while self._working and time.monotonic() < end:
            time.sleep(0.01)
        return not self._working

    def _run(self, job: Job, work: Callable[[], T]) -> T:
        if job.is_unwanted:
            raise Cancelled("nobody waits for it any more")
        job.state, self._working, begun = RUNNING, True, time.monotonic()
        try:
            made = work()
        finally:
            self._working = False
        self.seconds += _FRESH * (time.monotonic() - begun - self.seconds)
        return made


def _withdraw(future: Future[Any]) -> None:
    """Take it out of the row where its turn has not come; whoever waits for it gets :class:`Cancelled` at once."""
    if future.cancel():
        raise Cancelled("cancelled before its turn")
