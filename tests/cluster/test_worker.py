"""A cluster's worker: the films that it renders are those of a pipeline here, and it renders by no other bundle."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from mdsgen.bundle import Bundle
from mdsgen.cluster.worker import Opening, Worker
from mdsgen.errors import BundleError, ClusterError, MediaError
from mdsgen.runtime import Rendered
from mdsgen.runtime.job import Job, Rendering
from tests.media.conftest import Renderer


@pytest.fixture
def opening(bundle_path: Path) -> Opening:
    return Opening(str(bundle_path), Bundle.open(bundle_path).sha256, {"engine": "onnxruntime", "threads": 1})


def test_it_renders_after_travelling(opening: Opening, film: Renderer, tmp_path: Path) -> None:
    job = Job(film(frames=4, rate=4), tmp_path / "a.flac", ("a note",))
    how = Rendering(Bundle.open(str(opening.bundle)).sampling.changed(steps=1))
    worker = Worker(pickle.loads(pickle.dumps(opening)))
    assert worker.ready() == ("onnxruntime", ("CPUExecutionProvider",))
    outcome = pickle.loads(pickle.dumps(worker.render(*pickle.loads(pickle.dumps((job, how))))))
    assert isinstance(outcome, Rendered)
    assert (outcome.target, outcome.notes, job.target.exists()) == (job.target, ("a note",), True)
    failed = pickle.loads(pickle.dumps(worker.render(replace(job, source=tmp_path / "none.mp4"), how)))
    assert isinstance(failed, MediaError)


def test_it_says_why_it_cannot(opening: Opening, tmp_path: Path) -> None:
    other = Worker(replace(opening, sha256="0" * 64)).ready()
    assert isinstance(other, ClusterError)
    assert "has another bundle at" in str(other)
    old = Worker(replace(opening, version="0.0.1")).ready()
    assert isinstance(old, ClusterError)
    assert "install 0.0.1 there" in str(old)
    assert isinstance(Worker(replace(opening, bundle=str(tmp_path))).ready(), BundleError)
