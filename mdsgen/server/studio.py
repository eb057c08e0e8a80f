"""From a film in a folder of its own to the open file of its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mdsgen.errors import MediaError, SettingsError
from mdsgen.media import DEFAULT_OUTPUT, choose_suffix, probe
from mdsgen.runtime import Pipeline, Rendered, render
from mdsgen.sampling import Sampling
from mdsgen.server.jobs import Job
from mdsgen.server.order import Order
from mdsgen.server.settings import Limits

FILM = "film"
"""What the uploaded film is called in its folder, whatever it was called elsewhere."""

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Made:
    """An open result, its suffix, and what making it took. Its folder may be removed."""

    file: BinaryIO
    suffix: str
    rendered: Rendered

    @property
    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def chunks(self) -> Iterator[bytes]:
        """Its content, once; the file is closed then."""
        with self.file:
            while chunk := self.file.read(_CHUNK):
                yield chunk


class Studio:
    """A pipeline, and what it may be asked for."""

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self.pipeline, self._limits = pipeline, limits

    def sampling(self, order: Order) -> Sampling:
        """How an order is sampled. Raises :class:`SettingsError` for what cannot be or is too much."""
        sampling = self.pipeline.bundle.sampling.changed(**order.changes)
        if "steps" in order.changes and sampling.steps > self._limits.steps:
            raise SettingsError(f"steps may be {self._limits.steps} at most here, not {sampling.steps}")
        return sampling

    def make(self, folder: Path, order: Order, sampling: Sampling, job: Job) -> Made:
        """Give the film in ``folder`` its sound. Raises what :func:`~mdsgen.runtime.render` raises, and
        :class:`MediaError` for too long a film; no message names the folder.
        """
        film = folder / FILM
        try:
            suffix = order.suffix or choose_suffix(film, DEFAULT_OUTPUT)[0]
            self._check_length(film, order)
            target = folder / f"sound{suffix}"
            rendered = render(
                self.pipeline,
                film,
                target,
                sampling,
                start=order.start,
                duration=order.duration,
                seed=order.seed,
                progress=job.advance,
            )
        except MediaError as error:
            raise MediaError(_nameless(str(error), folder)) from error
        job.notes = tuple(_nameless(note, folder) for note in rendered.notes)
        return Made(open(target, "rb"), suffix, rendered)

    def _check_length(self, film: Path, order: Order) -> None:
        seconds = probe(film).remaining(order.start, order.duration)
        if seconds > self._limits.seconds:
            raise MediaError(f"{seconds:.1f} s of sound are asked for: {self._limits.seconds:g} s are the most here")


def _nameless(message: str, folder: Path) -> str:
    return message.replace(f"{folder}{os.sep}{FILM}", "the film").replace(f"{folder}{os.sep}", "")
