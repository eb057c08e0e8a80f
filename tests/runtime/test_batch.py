"""Batches: each film rendered once, the same bytes however many at once, and nothing left when one is ended early."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsgen import Pipeline
from mdsgen.errors import MediaError
from mdsgen.runtime import Rendered
from mdsgen.runtime.batch import LocalBatch, Outcome
from mdsgen.runtime.job import Job, Rendering
from tests.media.conftest import Renderer


@pytest.fixture(scope="module")
def two(bundle_path: Path) -> Iterator[list[Pipeline]]:
    with (
        Pipeline.open(bundle_path, "onnxruntime", threads=1) as one,
        Pipeline.open(bundle_path, "onnxruntime", threads=1) as other,
    ):
        yield [one, other]


def how(pipelines: list[Pipeline], steps: int = 1) -> Rendering:
    return Rendering(pipelines[0].bundle.sampling.changed(steps=steps))


def jobs(film: Renderer, folder: Path, count: int) -> list[Job]:
    folder.mkdir()
    source = film(frames=4, rate=4)
    return [Job(source, folder / f"{number}.flac", (f"note {number}",)) for number in range(count)]


def rendered(batch: LocalBatch, todo: list[Job], rendering: Rendering) -> dict[Job, Outcome]:
    found = list(batch.render(todo, rendering, lambda job, fraction: None))
    assert sorted(job.target for job, _ in found) == sorted(job.target for job in todo)
    return dict(found)


def test_films_are_the_same_however_many_are_rendered_at_once(
    two: list[Pipeline], film: Renderer, tmp_path: Path
) -> None:
    todo = jobs(film, tmp_path / "out", 5)
    rendered(LocalBatch(two[:1]), todo, how(two))
    before = [job.target.read_bytes() for job in todo]
    outcomes = rendered(LocalBatch(two), todo, how(two))
    assert [job.target.read_bytes() for job in todo] == before
    for job, outcome in outcomes.items():
        assert isinstance(outcome, Rendered)
        assert (outcome.target, outcome.notes) == (job.target, job.notes)


@pytest.mark.parametrize("count", [1, 2])
def test_a_film_that_fails_leaves_the_others(two: list[Pipeline], film: Renderer, tmp_path: Path, count: int) -> None:
    todo = [*jobs(film, tmp_path / "out", 3), Job(tmp_path / "none.mp4", tmp_path / "out" / "none.flac")]
    outcomes = rendered(LocalBatch(two[:count]), todo, how(two))
    assert isinstance(outcomes.pop(todo[-1]), MediaError)
    assert all(isinstance(outcome, Rendered) for outcome in outcomes.values())


def test_two_films_are_under_way_at_once(two: list[Pipeline], film: Renderer, tmp_path: Path) -> None:
    together, seen = threading.Event(), set[Job]()

    def note(job: Job, fraction: float) -> None:
        seen.add(job)
        if len(seen) == 2:
            together.set()

    todo = jobs(film, tmp_path / "out", 2)
    first = next(iter(LocalBatch(two).render(todo, how(two, 400), note)))
    assert first[0] in todo
    assert together.is_set()


def test_ending_early_ends_what_is_under_way(two: list[Pipeline], film: Renderer, tmp_path: Path) -> None:
    todo = jobs(film, tmp_path / "out", 8)
    films = LocalBatch(two).render(todo, how(two, 200), lambda job, fraction: None)
    next(films)
    films.close()  # type: ignore[attr-defined]
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert len(left) < 8
    assert not [name for name in left if name.startswith(".")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mdsgen-batch")]
