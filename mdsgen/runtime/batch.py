"""Many films, each rendered once: one after the other, or several at once on a pipeline each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from queue import SimpleQueue
from typing import Protocol

from mdsgen.bundle import Bundle
from mdsgen.errors import MdsgenError
from mdsgen.runtime.job import Job, Rendering
from mdsgen.runtime.pipeline import OnProgress, Pipeline, Progress
from mdsgen.runtime.rendering import Rendered, render

_LOOK = 0.2  # seconds between two looks at films that are rendered side by side


Outcome = Rendered | MdsgenError
"""What became of a film."""

OnFraction = Callable[[Job, float], None]
"""Is told, from time to time and in the thread that asked for the batch, how far a film is: 0 to 1."""


class Batch(Protocol):
    """What renders films. ``bundle``, ``engine`` and ``providers`` are as a :class:`Pipeline`'s."""

    @property
    def bundle(self) -> Bundle: ...
    @property
    def engine(self) -> str: ...
    @property
    def providers(self) -> tuple[str, ...]: ...

    def render(self, jobs: Sequence[Job], how: Rendering, progress: OnFraction) -> Iterator[tuple[Job, Outcome]]:
        """Render all of them; yields each as it is done, in whatever order."""
        ...


def attempt(pipeline: Pipeline, job: Job, how: Rendering, progress: OnProgress | None = None) -> Outcome:
    """Render a film; what goes wrong with it is returned, with the job's notes before its own."""
    try:
        rendered = render(pipeline, job.source, job.target, progress=progress, **vars(how))
    except MdsgenError as error:
        return error
    return replace(rendered, notes=(*job.notes, *rendered.notes))


class LocalBatch:
    """Renders films here, as many at once as there are pipelines, which stay the caller's."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines, first = pipelines, pipelines[0]
        self.bundle, self.engine, self.providers = first.bundle, first.engine, first.providers

    def render(self, jobs: Sequence[Job], how: Rendering, progress: OnFraction) -> Iterator[tuple[Job, Outcome]]:
        """As :meth:`Batch.render`. Whatever ends it early ends the films that are under way with their next step."""
        if len(self._pipelines) > 1:
            yield from self._side_by_side(jobs, how, progress)
            return
        for job in jobs:

            def tell(state: Progress, job: Job = job) -> None:
                progress(job, state.fraction)

            yield job, attempt(self._pipelines[0], job, how, tell)

    def _side_by_side(self, jobs: Sequence[Job], how: Rendering, progress: OnFraction) -> Iterator[tuple[Job, Outcome]]:
        free: SimpleQueue[Pipeline] = SimpleQueue()
        for pipeline in self._pipelines:
            free.put(pipeline)
        stop, fractions = threading.Event(), dict[Job, float]()

        def work(job: Job) -> Outcome:
            def tell(state: Progress) -> bool:
                fractions[job] = state.fraction
                return not stop.is_set()

            pipeline = free.get()
            try:
                return attempt(pipeline, job, how, tell)
            finally:
                fractions.pop(job, None)
                free.put(pipeline)

        with ThreadPoolExecutor(len(self._pipelines), "mdsgen-batch") as pool:
            futures: dict[Future[Outcome], Job] = {pool.submit(work, job): job for job in jobs}
            try:
                while futures:
                    done, _ = wait(futures, _LOOK, FIRST_COMPLETED)
                    for job, fraction in list(fractions.items()):
                        progress(job, fraction)
                    for future in done:
                        yield futures.pop(future), future.result()
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
