"""From a video file to a finished file with its sound."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media import DEFAULT_OUTPUT, Output, open_writer, probe, sample_count
from mdsgen.media.folder import MARK
from mdsgen.runtime.pipeline import OnProgress, Pipeline
from mdsgen.runtime.window_generator import Timings
from mdsgen.sampling import Sampling


@dataclass(frozen=True)
class Rendered:
    """A finished file: how many ``seconds`` of sound it got, what each stage took, and what it took in all.

    ``notes`` are lines that say what is not as one might expect: what the container could not hold, for instance.
    """

    source: Path
    target: Path
    seconds: float
    timings: dict[str, float]
    total: float
    notes: tuple[str, ...] = ()

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing per second of sound: below 1 is faster than the video plays."""
        return self.total / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "source": str(self.source),
            "target": str(self.target),
            "seconds": self.seconds,
            "sample_rate": SAMPLE_RATE,
            "timings": self.timings,
            "total": self.total,
            "real_time_factor": self.real_time_factor,
            "notes": list(self.notes),
        }


def default_target(source: str | os.PathLike[str], folder: Path | None = None, suffix: str = ".mp4") -> Path:
    """``video.mp4`` -> ``video.mdsgen.mp4``, beside it or in ``folder``; :func:`choose_suffix` finds the suffix."""
    source = Path(source)
    return (folder or source.parent) / f"{source.stem}{MARK}{suffix}"


def render(
    pipeline: Pipeline,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    sampling: Sampling | None = None,
    *,
    start: float = 0.0,
    duration: float | None = None,
    output: Output = DEFAULT_OUTPUT,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Rendered:
    """Give a video its sound and write it; the suffix of ``target`` chooses the format (:data:`mdsgen.media.FORMATS`).

    ``output`` says what becomes of the sound that the video has. The file appears whole or not at all. Raises
    :class:`~mdsgen.errors.MediaError` and what :meth:`Pipeline.stream` raises.
    """
    timings, begun = Timings(), time.perf_counter()
    with timings.stage("video decoding"):
        info = probe(source)
    seconds = info.remaining(start, duration)
    with open_writer(target, info, start=start, duration=seconds, output=output) as writer:
        blocks = pipeline.stream(
            info, sampling, seed=seed, start=start, duration=duration, progress=progress, timings=timings
        )
        for block in blocks:
            with timings.stage("writing"):
                writer.write(block)
    sounding = sample_count(seconds) / SAMPLE_RATE
    total = time.perf_counter() - begun
    return Rendered(Path(source), Path(target), sounding, dict(timings.seconds), total, tuple(writer.notes))
