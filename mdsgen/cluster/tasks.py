"""Tasks of any kind on a cluster, one processor each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from mdsgen.cluster.connection import ATTEMPTS, connected
from mdsgen.errors import ClusterError, MdsgenError

T = TypeVar("T")

_AHEAD = 2  # tasks handed out for each processor


@contextmanager
def open_tasks(address: str) -> Iterator[Callable[[Callable[[T], object], Sequence[T]], Iterator[object]]]:
    """What does work for each of some tasks on the cluster at ``address``, and yields once for each that is done.

    Raises :class:`ClusterError` where there is none, or where a task's processes are lost time after time, and what the
    work raises of this project's errors.
    """
    with connected(address) as ray:

        def spread(work: Callable[[T], object], tasks: Sequence[T]) -> Iterator[object]:
            remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS)(_done)
            given, waiting = ray.put(work), list(reversed(tasks))
            most, under_way = _AHEAD * int(ray.cluster_resources()["CPU"]), list[Any]()
            while waiting or under_way:
                while waiting and len(under_way) < most:
                    under_way.append(remote.remote(given, waiting.pop()))
                done, under_way = ray.wait(under_way)
                try:
                    found = ray.get(done[0])
                except ray.exceptions.WorkerCrashedError as error:
                    raise ClusterError(f"a task's worker was lost {ATTEMPTS + 1} times") from error
                if found is not None:
                    raise found
                yield None

        yield spread


def _done(work: Callable[[Any], object], task: Any) -> MdsgenError | None:
    """None, or what went wrong."""
    try:
        work(task)
    except MdsgenError as error:
        return error
    return None
