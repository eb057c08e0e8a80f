"""How long a bundle takes for one clip, stage by stage, and what its command costs in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import pairwise

import numpy as np

from mdsgen.bench.device_memory import DeviceMemory, device_memory
from mdsgen.bench.device_stages import HOST, IN_ORDER, DeviceStages
from mdsgen.bench.engine_backend import data_type
from mdsgen.bench.peak import add_shares, machine_peaks, peak_totals
from mdsgen.bench.process import FINISHED, READY, Command, time_processes
from mdsgen.bench.report import Report
from mdsgen.bench.work import denoiser_passes, stage_flop
from mdsgen.bundle import DENOISER
from mdsgen.conditions import usable_cores
from mdsgen.engines import EngineOptions
from mdsgen.errors import MdsgenError
from mdsgen.geometry import Geometry
from mdsgen.report import counted, silent
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import seeded_noise
from mdsgen.runtime.window_generator import Generator, Timings
from mdsgen.sampling import Sampling
from mdsgen.timing import Measurement

STEP, WHOLE = "denoiser step", "whole clip"
"""The two figures that are not stages of the runtime: one step of its loop, and all stages together."""

_QUANTISED = (DENOISER, STEP, WHOLE)  # what has products in INT8 in an INT8 bundle
_MOST_PROCESSES = 5


def time_clip(
    command: Command,
    sampling: Sampling,
    *,
    repeat: int,
    warmup: int,
    peak: bool = True,
    progress: Callable[[str], None] = silent,
) -> Report:
    """Generate ``repeat`` clips out of noise, all stages as in real use; then run the command itself, at most 5 times.

    ``sampling`` is what the command's comes to. Without ``peak`` the machine's is not measured.
    """
    bundle = command.bundle
    duration = bundle.manifest.geometry.duration
    engine, measurements, device = _time_stages(command, sampling, repeat, warmup, progress)
    processes, peaks = time_processes(command, min(repeat, _MOST_PROCESSES), progress)
    measurements |= processes
    figures: dict[str, dict[str, float]] = {name: {} for name in measurements}
    for name, found in measurements.items():
        if name not in (STEP, HOST, READY):
            figures[name]["real-time factor"] = found.median / duration
    for name, held in peaks.items():
        figures[name]["peak MB"] = held / 1e6
    totals: dict[str, object] = {
        "clip seconds": duration,
        "real-time factor": measurements[WHOLE].median / duration,
        "start-up seconds": measurements[READY].median,
        "peak memory bytes": peaks[FINISHED],
        **device,
    }
    notes = _add_peak(command, engine, sampling, measurements, figures, totals) if peak else []
    return Report(
        "stage of a clip", _settings(command, engine, sampling, warmup), measurements, figures, totals, notes=notes
    )


def _time_stages(
    command: Command, sampling: Sampling, repeat: int, warmup: int, progress: Callable[[str], None]
) -> tuple[str, dict[str, Measurement], dict[str, object]]:
    """The engine, the seconds of all stages, of the whole and of the steps, and on a GPU what more there is to say."""
    options = EngineOptions(command.threads, bfloat16=command.bfloat16)
    wanted = command.engine in ("auto", "tensorrt")
    with device_memory(wanted) as memory, ExitStack() as stack:
        opened = memory.of("networks", lambda: Networks(command.bundle, command.engine, options))
        networks = stack.enter_context(opened)
        if networks.device_engines:
            return networks.engine, *_time_on_device(networks, sampling, repeat, warmup, memory)
        return networks.engine, _time_on_host(networks, sampling, repeat, warmup, stack, progress), {}


def _time_on_device(
    networks: Networks, sampling: Sampling, repeat: int, warmup: int, memory: DeviceMemory
) -> tuple[dict[str, Measurement], dict[str, object]]:
    with memory.of("clip", lambda: DeviceStages(networks, sampling)) as stages:
        measured = memory.of("graph", lambda: stages.time(WHOLE, repeat, warmup))
        measured.setdefault(WHOLE, measured[IN_ORDER])
        per_step = [seconds / sampling.steps for seconds in measured["denoiser"].seconds]
        measured[STEP] = Measurement(tuple(per_step))
        launches = "1, a CUDA graph" if stages.replays else "one for every call: no CUDA graph here"
    totals: dict[str, object] = {"GPU": memory.gpu, "launches per clip": launches}
    if memory.taken:
        totals["device memory bytes"] = sum(memory.taken.values())
    return measured, totals


def _time_on_host(
    networks: Networks,
    sampling: Sampling,
    repeat: int,
    warmup: int,
    stack: ExitStack,
    progress: Callable[[str], None],
) -> dict[str, Measurement]:
    """A warm-up clip has a single step, which is enough to touch everything."""
    generators = Generators(networks)
    stack.callback(generators.close)
    for chosen, clips in ((sampling.changed(steps=1), warmup), (sampling, repeat)):
        seconds = _time_clips(generators.of(chosen), networks.geometry, clips, progress)
    return {name: Measurement(tuple(taken)) for name, taken in seconds.items() if taken}


def _time_clips(
    generate: Generator, geometry: Geometry, clips: int, progress: Callable[[str], None]
) -> dict[str, list[float]]:
    """The seconds of every stage of every clip, of every step, and of the whole clips."""
    random = np.random.default_rng(0)
    shape = (geometry.video_frames, geometry.frame_size, geometry.frame_size, 3)
    frames = random.integers(0, 256, shape, dtype=np.uint8)
    seconds: dict[str, list[float]] = {}
    for clip in counted(range(clips), clips, "clip", progress):
        timings, clock = Timings(), StepClock()
        generate(frames, seeded_noise(geometry, clip), timings, clock)
        for name, taken in {**timings.seconds, WHOLE: timings.total}.items():
            seconds.setdefault(name, []).append(taken)
        seconds.setdefault(STEP, []).extend(clock.steps() or [timings.seconds["denoiser"]])
    return seconds


def _settings(command: Command, engine: str, sampling: Sampling, warmup: int) -> dict[str, object]:
    manifest = command.bundle.manifest
    return {
        "engine": engine,
        "threads": command.threads or "the engine's choice",
        "bfloat16": "yes" if command.bfloat16 else "no",
        "geometry": manifest.geometry.name,
        "model": manifest.model.get("size", "unknown"),
        "precision": manifest.precision,
        "steps": sampling.steps,
        "solver": sampling.solver,
        "denoiser passes": denoiser_passes(sampling, manifest.schedule, engine == "tensorrt"),
        "warm-up": warmup,
    }


def _add_peak(
    command: Command,
    engine: str,
    sampling: Sampling,
    measurements: Mapping[str, Measurement],
    figures: Mapping[str, dict[str, float]],
    totals: dict[str, object],
) -> list[str]:
    """Adds operations, speed and share of the peak to the stages' ``figures``; gives notes of what is missing."""
    passes = denoiser_passes(sampling, command.bundle.manifest.schedule, engine == "tensorrt")
    try:
        flop = stage_flop(command.bundle.path, sampling.steps, passes)
    except (ImportError, MdsgenError) as error:
        return [f"the share of the matrix peak is left out ({error}): pip install 'mdsgen[convert]'"]
    flop |= {WHOLE: sum(flop.values()), STEP: flop["denoiser"] // sampling.steps}
    precision = command.bundle.manifest.precision
    kinds = {name: data_type(precision, engine, command.bfloat16, quantised=name in _QUANTISED) for name in flop}
    peaks, notes = machine_peaks(command.threads or usable_cores(), kinds.values())
    for name in flop.keys() & measurements.keys():
        figures[name]["GFLOP"] = flop[name] / 1e9
        add_shares(figures[name], flop[name], measurements[name].median, kinds[name], peaks)
    totals |= peak_totals(peaks)
    return notes


class StepClock:
    """Notes when each solver step was done."""

    def __init__(self) -> None:
        self._done: list[float] = []

    def __call__(self, done: int) -> None:
        self._done.append(time.perf_counter())

    def steps(self) -> list[float]:
        """The seconds of every step but the first, which began unseen."""
        return [end - start for start, end in pairwise(self._done)]
