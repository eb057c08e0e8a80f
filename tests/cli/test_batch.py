"""``mdsgen-run`` of many films: at once, resumed, on a cluster; and how far all of them are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mdsgen.cli import run as module
from mdsgen.cli.batch import Crew, open_batch
from mdsgen.cli.progress import progress_of
from mdsgen.report import Interim
from mdsgen.runtime.batch import LocalBatch
from mdsgen.runtime.job import Job
from tests.media.conftest import Renderer
from tests.runner import Runner

Run = Callable[..., Result]


@pytest.fixture
def run(bundle_path: Path) -> Run:
    def invoke(*arguments: object) -> Result:
        words = ["--bundle", str(bundle_path), "--steps", "1", "--engine", "onnxruntime"]
        return Runner().invoke(module.main, [*map(str, arguments), *words])

    return invoke


@pytest.fixture
def films(film: Renderer) -> Path:
    """A folder of three films."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        film(name, frames=4, rate=4)
    return film.folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_several_at_once_are_told_in_order(run: Run, films: Path, tmp_path: Path) -> None:
    (films / "b.mp4").write_bytes(b"no film")
    result = run(films, "-o", tmp_path / "out", "--jobs", 2, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [Path(entry["source"]).name for entry in document["results"]] == ["a.mp4", "c.mp4"]
    assert [Path(entry["source"]).name for entry in document["failures"]] == ["b.mp4"]
    assert names(tmp_path / "out") == ["a.mdsgen.mp4", "c.mdsgen.mp4"]


def test_films_at_once_share_the_threads(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr("mdsgen.runtime.Pipeline.open", lambda bundle, **options: opened.append(options) or _Opened())
    monkeypatch.setattr("mdsgen.cli.batch.usable_cores", lambda: 8)
    for jobs, threads, films in ((3, None, 9), (3, 2, 9), (4, 8, 1), (None, None, 5)):
        with open_batch(Crew(jobs, None), films, bundle_path, threads=threads) as batch:
            assert isinstance(batch, LocalBatch)
    assert [options["threads"] for options in opened] == [2, 2, 2, 1, 1, 1, 8, None]


class _Opened:
    bundle = engine = providers = None

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def test_a_folder_is_gone_on_with(run: Run, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(films, "-o", out).exit_code == 0
    (out / "b.mdsgen.mp4").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    result = run(films, "-o", out, "--skip-existing", "--json")
    assert (result.exit_code, result.stderr) == (0, "2 of 3 videos have their results already\n")
    document = json.loads(result.stdout)
    assert [Path(entry["source"]).name for entry in document["results"]] == ["b.mp4"]
    assert [Path(target).name for target in document["skipped"]] == ["a.mdsgen.mp4", "c.mdsgen.mp4"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = run(films, "-o", out, "--skip-existing")
    assert (again.exit_code, again.stderr) == (0, "3 of 3 videos have their results already\n")


def test_a_camera_has_no_batch(run: Run) -> None:
    for option in (["--jobs", 2], ["--cluster", "auto"], ["--skip-existing"]):
        result = run("rtsp://camera/1", *option)
        assert result.exit_code == 2
        assert f"a live source has no {option[0]}" in result.stderr


def test_a_cluster_needs_ray(run: Run, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(films, "--cluster", "auto")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: a cluster needs Ray")
    assert result.stderr.endswith("pip install 'mdsgen[cluster]'\n")


def test_time_left_is_of_the_whole_batch() -> None:
    said: list[str] = []
    jobs = [Job(Path(f"{number}.mp4"), Path(f"{number}.wav")) for number in range(4)]
    with progress_of(len(jobs), said.append, quiet=False) as progress:
        progress.advance(jobs[0], 0.5)
        progress.end(jobs[0])
        progress.advance(jobs[1], 0.5)
    assert said[0].startswith("0 of 4 videos  ")
    assert said[1] == ""
    assert said[2].startswith("1 of 4 videos  ")
    assert " left, done at " in said[2]
    assert all(isinstance(line, Interim) for line in said)
