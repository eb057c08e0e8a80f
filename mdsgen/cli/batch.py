"""The options of ``mdsgen-run`` that say where and how many films are rendered at once, and which are left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdsgen.command import F, give_options
from mdsgen.conditions import usable_cores
from mdsgen.runtime.job import Job

if TYPE_CHECKING:
    from mdsgen.runtime.batch import Batch

_OPTIONS = (
    click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Films to render at once, each on a pipeline and its share of the threads; of a cluster, its workers.  "
        "[default: 1; as many as a cluster has room for]",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Render on a Ray cluster that reads and writes the same paths: its address, auto for the one that runs "
        "here, or local to start one for this run.",
    ),
    click.option("--skip-existing", is_flag=True, help="Leave out videos whose results are there already."),
)


@dataclass(frozen=True)
class Crew:
    """How many films are rendered at once, and on which cluster; None is here."""

    jobs: int | None
    cluster: str | None


def batch_options(function: F) -> F:
    """Give a command these options."""
    return give_options(function, _OPTIONS)


def take_crew(settings: dict[str, Any]) -> Crew:
    """Take ``--jobs`` and ``--cluster`` out of a command's settings."""
    return Crew(settings.pop("jobs"), settings.pop("cluster"))


@contextmanager
def open_batch(crew: Crew, films: int, bundle: str | os.PathLike[str] | None, **options: Any) -> Iterator[Batch]:
    """What renders so many films; ``options`` are those of :meth:`Pipeline.open`."""
    if crew.cluster is not None:
        from mdsgen.cluster import open_cluster

        with open_cluster(crew.cluster, crew.jobs, films, bundle, options) as cluster:
            yield cluster
        return
    from mdsgen.runtime import Pipeline  # --help does without the engines

    count = max(min(crew.jobs or 1, films), 1)
    if count > 1:
        options["threads"] = max((options["threads"] or usable_cores()) // count, 1)
    with ExitStack() as stack:
        with ThreadPoolExecutor(1, "imports") as aside:
            rendering = aside.submit(import_module, "mdsgen.runtime.batch")  # with PyAV, while engines open
            pipelines = [stack.enter_context(Pipeline.open(bundle, **options)) for _ in range(count)]
        yield rendering.result().LocalBatch(pipelines)


def without_existing(jobs: Sequence[Job]) -> tuple[list[Job], list[Path]]:
    """The jobs whose results are missing, and the results that are there: a result is there whole or not at all."""
    missing = [job for job in jobs if not job.target.exists()]
    return missing, [job.target for job in jobs if job.target.exists()]
