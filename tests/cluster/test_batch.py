"""A real Ray on this machine: every film is there once, also where a worker is killed in the middle."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mdsgen.cli import run
from mdsgen.runtime import Pipeline, render
from tests.children import finished
from tests.media.conftest import Renderer
from tests.runner import Runner

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mdsgen[cluster]'")

KILLED = """
import os, signal, sys
from pathlib import Path
from mdsgen.cluster import open_cluster
from mdsgen.runtime.job import Job, Rendering

source, out, bundle = map(Path, sys.argv[1:])
jobs = [Job(source, out / f"{number}.flac") for number in range(12)]
with open_cluster("local", 2, len(jobs), bundle, {"engine": "onnxruntime", "threads": 1}) as batch:
    how = Rendering(batch.bundle.sampling.changed(steps=20))
    before = batch.processes
    for done, (job, outcome) in enumerate(batch.render(jobs, how, lambda job, fraction: None)):
        print(job.target.name, type(outcome).__name__)
        if done == 3:
            os.kill(before[0], signal.SIGKILL)
    assert batch.processes != before
"""


DEADLY = """
import os, signal, sys
from pathlib import Path
from mdsgen.cluster import batch as module
from mdsgen.cluster.worker import Worker
from mdsgen.runtime.job import Job, Rendering

class Mortal(Worker):
    def render(self, job, how):
        if job.source.name == "deadly.mp4":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().render(job, how)

module.Worker = Mortal
source, out, bundle = map(Path, sys.argv[1:])
sources = [source, source.with_name("deadly.mp4"), source, source]
jobs = [Job(path, out / f"{number}.flac") for number, path in enumerate(sources)]
with module.open_cluster("local", 2, len(jobs), bundle, {"engine": "onnxruntime", "threads": 1}) as batch:
    how = Rendering(batch.bundle.sampling.changed(steps=1))
    for job, outcome in batch.render(jobs, how, lambda job, fraction: None):
        print(job.target.name, outcome if isinstance(outcome, Exception) else "rendered")
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_every_film_is_there_once_after_a_worker_was_killed(bundle_path: Path, film: Renderer, out: Path) -> None:
    source = film(frames=4, rate=4)
    result = finished([sys.executable, "-c", KILLED, str(source), str(out), str(bundle_path)])
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == sorted(f"{number}.flac Rendered" for number in range(12))
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{number}.flac" for number in range(12))
    with Pipeline.open(bundle_path, "onnxruntime", threads=1) as pipeline:
        render(pipeline, source, out.parent / "here.flac", pipeline.bundle.sampling.changed(steps=20))
    assert {path.read_bytes() for path in out.iterdir()} == {(out.parent / "here.flac").read_bytes()}


def test_a_film_that_ends_every_worker_is_a_failure(bundle_path: Path, film: Renderer, out: Path) -> None:
    source = film(frames=4, rate=4)
    result = finished([sys.executable, "-c", DEADLY, str(source), str(out), str(bundle_path)])
    assert result.returncode == 0, result.stderr
    lost = f"1.flac {source.with_name('deadly.mp4')}: its worker was lost 3 times"
    assert sorted(result.stdout.splitlines()) == ["0.flac rendered", lost, "2.flac rendered", "3.flac rendered"]
    assert sorted(path.name for path in out.iterdir()) == ["0.flac", "2.flac", "3.flac"]


def test_the_command_lists_what_failed_and_goes_on(bundle_path: Path, film: Renderer, out: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        film(name, frames=4, rate=4)
    (film.folder / "c.mp4").write_bytes(b"no film")
    (out / "a.mdsgen.mp4").write_bytes(b"a result")
    options = ["--bundle", str(bundle_path), "--engine", "onnxruntime", "--steps", "1", "--skip-existing", "--json"]
    command = [sys.executable, "-m", "mdsgen.cli.run", "films", "-o", "out", "--cluster", "local", *options]
    result = finished(command, cwd=out.parent)
    assert result.returncode == 1, result.stderr
    document = json.loads(result.stdout)
    assert document["engine"] == "onnxruntime"
    assert [entry["target"] for entry in document["results"]] == ["out/b.mdsgen.mp4"]
    assert [entry["source"] for entry in document["failures"]] == ["films/c.mp4"]
    assert document["skipped"] == ["out/a.mdsgen.mp4"]
    assert result.stderr.splitlines()[-1] == "error: 1 of 2 videos failed"


def test_no_cluster_is_one_line(bundle_path: Path, film: Renderer) -> None:
    path = film(frames=4, rate=4)
    result = Runner().invoke(run.main, [str(path), "--cluster", "127.0.0.1:1", "--bundle", str(bundle_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: there is no Ray cluster at 127.0.0.1:1 (")
    assert result.stderr.count("\n") == 1
