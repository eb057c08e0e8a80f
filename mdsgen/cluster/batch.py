"""A batch of films on the workers of a cluster: each film is rendered once, also where workers are lost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mdsgen.bundle import Bundle, default_bundle
from mdsgen.bundle.default import DEMO_FOLDER
from mdsgen.cluster.connection import ATTEMPTS, connected
from mdsgen.cluster.worker import Opening, Worker
from mdsgen.errors import ClusterError, MdsgenError
from mdsgen.runtime.batch import OnFraction, Outcome
from mdsgen.runtime.job import Job, Rendering

_LOOK = 0.5  # seconds between two looks at the workers


@contextmanager
def open_cluster(
    address: str, workers: int | None, films: int, bundle: str | os.PathLike[str] | None, options: dict[str, Any]
) -> Iterator[ClusterBatch]:
    """A batch on the cluster at ``address``, for so many films; ``options`` are those of :meth:`Pipeline.open`.

    A worker reserves as many processors as ``options["threads"]`` says, one where it says nothing; there are as many
    ``workers`` as these are free for, unless fewer are asked for. Raises :class:`~mdsgen.errors.ClusterError`, and what
    opening a pipeline there raises.
    """
    opened = Bundle.open(default_bundle() if bundle is None else bundle)
    is_demo = bundle is None and opened.folder == DEMO_FOLDER
    named = None if is_demo else str(opened.name or opened.folder.resolve())
    threads = options["threads"] or 1
    opening = Opening(named, opened.sha256, {**options, "threads": threads})
    with connected(address) as ray:
        if ray.cluster_resources().get("CPU", 0) < threads:
            raise ClusterError(f"the cluster at {address} has not {threads} processors")
        room = int(ray.available_resources().get("CPU", 0)) // threads
        count = max(min(workers or room, room, films), 1)
        remote = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=ATTEMPTS)(Worker)
        yield ClusterBatch(ray, opened, [remote.remote(opening) for _ in range(count)])


class ClusterBatch:
    """Renders films on workers of a cluster, a film at a time on each; a lost worker is started again by Ray.

    Raises what a worker cannot be opened for.
    """

    def __init__(self, ray: ModuleType, bundle: Bundle, workers: Sequence[Any]) -> None:
        self._ray, self.bundle, self._workers = ray, bundle, workers
        first = ray.get([worker.ready.remote() for worker in workers])
        for answer in first:
            if isinstance(answer, MdsgenError):
                raise answer
        self.engine, self.providers = first[0]

    @property
    def processes(self) -> list[int]:
        """The workers' numbers on their machines."""
        return list(self._ray.get([worker.process.remote() for worker in self._workers]))

    def render(self, jobs: Sequence[Job], how: Rendering, progress: OnFraction) -> Iterator[tuple[Job, Outcome]]:
        """As :meth:`~mdsgen.runtime.batch.Batch.render`, by absolute paths; how far a film is, is not known."""
        waiting, under_way = list(reversed(jobs)), dict[Any, tuple[Job, Any]]()
        free = list(self._workers)
        while waiting or under_way:
            while waiting and free:
                job, worker = waiting.pop(), free.pop()
                under_way[worker.render.remote(_absolute(job), how)] = job, worker
            for job, _ in under_way.values():
                progress(job, 0.0)
            done, _ = self._ray.wait(list(under_way), timeout=_LOOK)
            for reference in done:
                job, worker = under_way.pop(reference)
                free.append(worker)
                yield job, self._outcome(reference, job)

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            found: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            return ClusterError(f"{job.source}: its worker was lost {ATTEMPTS + 1} times")
        if isinstance(found, MdsgenError):
            return found
        return replace(found, source=job.source, target=job.target)


def _absolute(job: Job) -> Job:
    return replace(job, source=Path(os.path.abspath(job.source)), target=Path(os.path.abspath(job.target)))
