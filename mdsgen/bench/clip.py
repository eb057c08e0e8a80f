"""How long a bundle takes for one clip, stage by stage."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mdsgen.bench.measure import Measurement
from mdsgen.bench.report import Report
from mdsgen.bundle import Bundle
from mdsgen.engines import EngineOptions
from mdsgen.geometry import FRAME_SIZE, Geometry
from mdsgen.runtime.clip import SamplerSettings, Timings
from mdsgen.runtime.generators import Generator, Generators
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import seeded_noise

STEP, WHOLE = "denoiser step", "whole clip"
"""The two figures that are not stages of the runtime: one step of its loop, and all stages together."""


def time_clip(
    bundle: Bundle, engine: str, options: EngineOptions, settings: SamplerSettings, *, repeat: int, warmup: int
) -> Report:
    """Generate ``repeat`` clips out of noise, all stages as in real use.

    A warm-up clip has a single step, which is enough to touch everything; on a GPU it has all, which are captured then.
    """
    manifest = bundle.manifest
    with Networks(bundle, engine, options) as networks, ExitStack() as stack:
        generators = Generators(networks)
        stack.callback(generators.close)
        warm = settings if networks.device_engines else replace(settings, steps=1)
        for sampler, clips in ((warm, warmup), (settings, repeat)):
            seconds = _time_clips(generators.of(sampler), manifest.geometry, clips)
        settings_used = {
            "engine": networks.engine,
            "threads": options.threads or "the engine's choice",
            "geometry": manifest.geometry.name,
            "model": manifest.model.get("size", "unknown"),
            "precision": manifest.precision,
            "steps": settings.steps,
            "solver": settings.solver,
            "denoiser passes": settings.passes,
            "warm-up": warmup,
        }
    measurements = {name: Measurement(tuple(taken)) for name, taken in seconds.items() if taken}
    duration = manifest.geometry.duration
    totals = {
        "clip seconds": duration,
        "real-time factor": measurements[WHOLE].median / duration,
        "peak memory bytes": peak_memory(),
    }
    return Report("stage", settings_used, measurements, totals=totals)


def _time_clips(generate: Generator, geometry: Geometry, clips: int) -> dict[str, list[float]]:
    """The seconds of every stage of every clip, of every step, and of the whole clips."""
    random = np.random.default_rng(0)
    frames = random.random((geometry.video_frames, 3, FRAME_SIZE, FRAME_SIZE), dtype=np.float32)
    seconds: dict[str, list[float]] = {}
    for clip in range(clips):
        timings, clock = Timings(), StepClock()
        generate(frames, seeded_noise(geometry, clip), timings, clock)
        for name, taken in {**timings.seconds, WHOLE: timings.total}.items():
            seconds.setdefault(name, []).append(taken)
        loop = (
            [timings.seconds["denoiser"]] if "denoiser" in timings.seconds else []
        )  # in a graph nothing is timed alone
        seconds.setdefault(STEP, []).extend(clock.steps() or loop)
    return seconds


class StepClock:
    """Notes when each solver step was done."""

    def __init__(self) -> None:
        self._done: list[float] = []

    def __call__(self, done: int) -> None:
        self._done.append(time.perf_counter())

    def steps(self) -> list[float]:
        """The seconds of every step but the first, which began unseen."""
        return [end - start for start, end in pairwise(self._done)]


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
