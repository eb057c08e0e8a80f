"""From a video file to a finished file with its sound."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media import VideoInfo, open_writer, probe, read_sound, sample_count
from mdsgen.runtime.clip import Timings
from mdsgen.runtime.pipeline import OnProgress, Pipeline
from mdsgen.sampling import Sampling

TARGET_SUFFIX = ".mdsgen.mp4"
"""What a result is called where nobody says: ``video.mp4`` becomes ``video.mdsgen.mp4``."""


@dataclass(frozen=True)
class Rendered:
    """A finished file: how many ``seconds`` of sound it got, what each stage took, and what it took in all."""

    source: Path
    target: Path
    seconds: float
    timings: dict[str, float]
    total: float

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
        }


def default_target(source: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """``video.mp4`` -> ``video.mdsgen.mp4``, beside it or in ``folder``."""
    source = Path(source)
    return (folder or source.parent) / f"{source.stem}{TARGET_SUFFIX}"


def render(
    pipeline: Pipeline,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    sampling: Sampling | None = None,
    *,
    start: float = 0.0,
    duration: float | None = None,
    mix: float = 0.0,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Rendered:
    """Give a video its sound and write it; the suffix of ``target`` chooses the format (:data:`mdsgen.media.FORMATS`).

    ``mix`` is the share of the video's original sound: 0 none, 1 nothing else. The file appears whole or not at all.
    Raises :class:`~mdsgen.errors.MediaError` and what :meth:`Pipeline.stream` raises.
    """
    if not 0.0 <= mix <= 1.0:
        raise SettingsError(f"mix must be 0 to 1, not {mix!r}")
    timings, begun = Timings(), time.perf_counter()
    with timings.stage("video decoding"):
        info = probe(source)
    seconds = info.remaining(start, duration)
    with open_writer(target, info, start=start, duration=seconds) as writer:
        blocks = pipeline.stream(
            info, sampling, seed=seed, start=start, duration=duration, progress=progress, timings=timings
        )
        original = OriginalSound(info, start, seconds) if mix > 0.0 else None
        for block in blocks:
            with timings.stage("writing"):
                writer.write(block if original is None else (1.0 - mix) * block + mix * original.take(len(block)))
    sounding = sample_count(seconds) / SAMPLE_RATE
    return Rendered(Path(source), Path(target), sounding, dict(timings.seconds), time.perf_counter() - begun)


class OriginalSound:
    """A video's own sound, read on in portions of any size."""

    def __init__(self, info: VideoInfo, start: float, seconds: float) -> None:
        self._blocks: Iterator[np.ndarray] = read_sound(info, start=start, duration=seconds)
        self._rest = np.zeros(0, np.float32)

    def take(self, samples: int) -> np.ndarray:
        """The next ``samples`` samples."""
        parts, have = [self._rest], len(self._rest)
        while have < samples:
            block = next(self._blocks)  # read_sound gives as many samples as the video has
            parts.append(block)
            have += len(block)
        joined = np.concatenate(parts)
        self._rest = joined[samples:]
        return joined[:samples]
