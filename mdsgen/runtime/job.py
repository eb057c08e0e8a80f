"""A film that is to be rendered, and how all of them are; nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdsgen.media import DEFAULT_OUTPUT, Output
from mdsgen.sampling import Sampling


@dataclass(frozen=True)
class Job:
    """One video, where its result goes, and why it goes there."""

    source: Path
    target: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rendering:
    """How every film of a batch is rendered; the fields are those of :func:`~mdsgen.runtime.render`."""

    sampling: Sampling
    start: float = 0.0
    duration: float | None = None
    output: Output = DEFAULT_OUTPUT
    seed: int = 0
