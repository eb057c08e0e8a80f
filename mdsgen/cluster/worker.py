"""One pipeline in a process of its own, on whichever machine of a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from mdsgen import __version__
from mdsgen.errors import ClusterError, MdsgenError
from mdsgen.runtime import Pipeline
from mdsgen.runtime.batch import Outcome, attempt
from mdsgen.runtime.job import Job, Rendering


@dataclass(frozen=True)
class Opening:
    """What every worker opens: a bundle, with the keywords of :meth:`Pipeline.open`, and its checksum at the caller's.

    A worker of another version of mdsgen than ``version``, or whose bundle is another, renders nothing.
    """

    bundle: str | None
    sha256: str
    options: dict[str, Any]
    version: str = __version__


class Worker:
    """Opens its pipeline when it is first needed: one that is started anew in place of a lost one goes on alike."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._pipeline: Pipeline | None = None

    def ready(self) -> tuple[str, tuple[str, ...]] | MdsgenError:
        """The engine and its providers, or why there are none."""
        try:
            pipeline = self._opened()
        except MdsgenError as error:
            return error
        return pipeline.engine, pipeline.providers

    def process(self) -> int:
        """Its number on its machine."""
        return os.getpid()

    def render(self, job: Job, how: Rendering) -> Outcome:
        """Render one film; what goes wrong is returned."""
        try:
            return attempt(self._opened(), job, how)
        except MdsgenError as error:
            return error

    def _opened(self) -> Pipeline:
        if self._pipeline is None:
            if self._opening.version != __version__:
                raise ClusterError(f"a worker has mdsgen {__version__}: install {self._opening.version} there")
            pipeline = Pipeline.open(self._opening.bundle, **self._opening.options)
            if pipeline.bundle.sha256 != self._opening.sha256:
                raise ClusterError(f"a worker has another bundle at {pipeline.bundle.source} than the caller")
            self._pipeline = pipeline
        return self._pipeline
