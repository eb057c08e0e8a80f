"""Several ways to compute the same model, timed in turn in one run, after they were seen to compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from mdsgen.bench.backends import Backend, Entry, Run
from mdsgen.bench.device_memory import DeviceMemory, device_memory
from mdsgen.bench.peak import add_shares, machine_peaks, peak_totals
from mdsgen.bench.report import Report
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bench.work import BRANCHES, denoiser_passes, flop_of, stage_flop
from mdsgen.bundle import DENOISER
from mdsgen.engines import ON_CPU, EngineOptions, first_that_opens
from mdsgen.errors import MdsgenError
from mdsgen.parity import snr_db
from mdsgen.precision import CLIP, PRECISIONS, DataType
from mdsgen.runtime.networks import graph_options
from mdsgen.sampling import PRESETS, Sampling
from mdsgen.timing import Measurement, side_by_side

STEP, LOOP, CLIPS = "step", "loop", "clip"
"""What is compared: one guided denoiser step, the denoising loop, or everything from frames to waveform."""

TITLES = {STEP: "guided denoiser step", LOOP: "denoising loop", CLIPS: "clip, frames to waveform"}

PUBLISHED_STEPS = PRESETS["best"].steps

LEAST_REDUCED = {STEP: 15.0, LOOP: 3.0, CLIPS: 3.0}
"""Least SNR in dB of arithmetic in bfloat16 or int8: that of another network is about 0. Loops and clips are checked in
two steps, the longest there are, which enlarge every difference. How good it is the step's table says, and the bundle's
own report."""

_CHECKED_STEPS = 2  # of the loops and clips that are compared before anything is timed


@dataclass(frozen=True)
class Task:
    """What every backend does. Published ones sample with ``published``, the others with ``sampling``."""

    of: str
    sampling: Sampling
    published: Sampling

    @classmethod
    def named(cls, of: str, sampling: Sampling, torch_steps: int | None = None) -> Task:
        """A loop has as many steps on all sides; a clip as published has ``torch_steps``, or 50."""
        steps = (torch_steps or PUBLISHED_STEPS) if of == CLIPS else sampling.steps
        return cls(of, sampling, _plainly(sampling, steps))

    def sampling_of(self, backend: Backend) -> Sampling:
        return self.published if backend.published else self.sampling

    def check(self) -> Task:
        """The same in a few steps, sampled in one way by all of them."""
        few = _plainly(self.sampling, _CHECKED_STEPS)
        return Task(self.of, few, few)

    def run(self, backend: Backend, inputs: Inputs) -> Run:
        """The backend's part of it, ready to be called."""
        if self.of == STEP:
            return backend.step(inputs)
        begin = backend.loop if self.of == LOOP else backend.clip
        return begin(inputs, self.sampling_of(backend))


def _plainly(sampling: Sampling, steps: int) -> Sampling:
    """In so many steps of the published solver, guided in every one."""
    return sampling.changed(quality="best", steps=steps)


def compare(
    entries: Sequence[Entry], subject: Subject, task: Task, threads: int, *, repeat: int, warmup: int, peak: bool = True
) -> Report:
    """Time ``entries`` in turn on ``threads`` threads; ratios are against the first one.

    Raises :class:`MdsgenError` where one of them does not compute what the first does, before anything is timed.
    """
    inputs = Inputs(subject.geometry, subject.encode)
    on_device = {str(entry): entry.kind.device for entry in entries}
    with ExitStack() as stack:
        backends: dict[str, Backend] = {}
        for name, entry in zip(on_device, entries, strict=True):
            backends[name] = entry.make(entry.source(subject), threads)
            stack.callback(backends[name].close)
        memory = stack.enter_context(device_memory(any(on_device.values())))
        agreement = check_agreement(backends, task, inputs, memory)
        runs = {}
        for name, backend in backends.items():
            begin = partial(_begun, task, backend, inputs, on_device[name])
            runs[name] = memory.of(name, begin, backend.settle)
        measured = side_by_side(runs, repeat, warmup, lead=1 if task.of == STEP else 0)
        del runs
    figures = _ratios(measured, agreement)
    for name, taken in memory.taken.items():
        figures[name]["device MB"] = taken / 1e6
    if task.of == CLIPS:
        for name, found in measured.items():
            figures[name]["real-time factor"] = found.median / subject.geometry.duration
    passes = {
        name: denoiser_passes(task.sampling_of(backend), subject.schedule, on_device[name])
        for name, backend in backends.items()
    }
    totals, notes = _against_peak(subject, task, backends, passes, measured, figures, threads if peak else None)
    return Report(
        TITLES[task.of],
        ({"GPU": memory.gpu} if memory.gpu else {}) | _settings(subject, task, backends, passes, threads, warmup),
        measured,
        figures,
        totals,
        descriptions={name: backend.what for name, backend in backends.items()},
        notes=[*notes, *_automatic_choice(subject, measured, threads)],
    )


def _begun(task: Task, backend: Backend, inputs: Inputs, on_device: bool) -> Run:
    """What is timed; on a GPU it has run once, so that all the memory is taken that it needs."""
    run = task.run(backend, inputs)
    if on_device:
        run()
    return run


def check_agreement(
    backends: Mapping[str, Backend], task: Task, inputs: Inputs, memory: DeviceMemory | None = None
) -> dict[str, float]:
    """SNR in dB of every result against the first backend's; below what its precision asks for it is refused.

    Everything is opened here, and what that takes on a GPU is noted in ``memory``.
    """
    memory = memory or DeviceMemory()
    check, found, least = task.check(), {}, {}
    reference = np.zeros(0)
    first, *_ = backends
    for name, backend in backends.items():
        result = memory.of(name, partial(_checked, check, backend, inputs), backend.settle)
        reference = result.copy() if name == first else reference
        found[name] = snr_db(reference, result)
        least[name] = min(_least(backends[first], task.of), _least(backend, task.of))
    differing = [f"{name} {found[name]:.1f} dB of {least[name]:g}" for name in found if found[name] < least[name]]
    if differing:
        raise MdsgenError(
            f"not the same network as {first}: {', '.join(differing)}; bundles are compared that hold the same "
            "weights, with PyTorch those of mdsgen-export --untrained"
        )
    return found


def _checked(check: Task, backend: Backend, inputs: Inputs) -> np.ndarray:
    return check.run(backend, inputs)()


def _least(backend: Backend, of: str) -> float:
    """SNR in dB that a backend has to reach: of a graph alone, or of a whole way through the loop."""
    precision = PRECISIONS.get(backend.precision)  # bfloat16 is an engine's way to compute, and no precision
    if precision is None or precision.computes is DataType.INT8:
        return LEAST_REDUCED[of]
    return precision.thresholds.of(DENOISER if of == STEP else CLIP)


def _ratios(measured: Mapping[str, Measurement], agreement: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """How many times as fast as the first, which is the reference and has no SNR of its own."""
    first, *_ = measured
    base = measured[first].median
    figures = {name: {"times faster": base / found.median, "dB": agreement[name]} for name, found in measured.items()}
    del figures[first]["dB"]
    return figures


def _against_peak(
    subject: Subject,
    task: Task,
    backends: Mapping[str, Backend],
    passes: Mapping[str, int],
    measured: Mapping[str, Measurement],
    figures: Mapping[str, dict[str, float]],
    threads: int | None,
) -> tuple[dict[str, object], list[str]]:
    """Adds what each backend reached of the peak to ``figures``; gives totals, and notes of what is missing.

    The work is that of the graph, whichever way it is done: what a backend computes beyond that counts as lost.
    ``threads`` None leaves the peak out.
    """
    if threads is None:
        return {}, []
    try:
        flop, totals = _flop(subject, task)
    except (ImportError, MdsgenError) as error:
        return {}, [f"the share of the matrix peak is left out: {error}"]
    peaks, notes = machine_peaks(threads, (backend.data_type for backend in backends.values()))
    for name, backend in backends.items():
        done = flop(task.sampling_of(backend).steps, passes[name])
        add_shares(figures[name], done, measured[name].median, backend.data_type, peaks)
    return {**totals, **peak_totals(peaks)}, notes


def _flop(subject: Subject, task: Task) -> tuple[Callable[[int, int], int], dict[str, object]]:
    """The operations of the task in so many steps and passes of the denoiser, and those of a step as a total."""
    step = flop_of(subject.path(DENOISER), **{BRANCHES: 2})
    totals: dict[str, object] = {"GFLOP per step": step / 1e9}
    if task.of == STEP:
        return lambda steps, passes: step, totals
    stages = {LOOP: ("conditioning", "denoiser")}.get(task.of)

    def flop(steps: int, passes: int) -> int:
        found = stage_flop(subject.path, steps, passes)
        return sum(found[stage] for stage in stages or found)

    return flop, totals


def _settings(
    subject: Subject,
    task: Task,
    backends: Mapping[str, Backend],
    passes: Mapping[str, int],
    threads: int,
    warmup: int,
) -> dict[str, object]:
    settings: dict[str, object] = {
        "model": f"{subject.size}, {subject.geometry.name} geometry ({subject.name})",
        "threads": threads,
        "warm-up": warmup,
    }
    if task.of != STEP:
        for name, backend in backends.items():
            used = task.sampling_of(backend)
            settings[f"sampling, {name}"] = f"{used.steps} steps of {used.solver}, {passes[name]} denoiser passes"
    return settings


def _automatic_choice(subject: Subject, measured: Mapping[str, Measurement], threads: int) -> list[str]:
    """Which engine ``auto`` takes here, where both that it chooses from have just been measured."""
    if not set(ON_CPU) <= measured.keys():
        return []
    options = graph_options(DENOISER, EngineOptions(threads), subject.geometry)
    chosen = first_that_opens("auto", subject.path(DENOISER), lambda name: name, options)
    fastest = min(ON_CPU, key=lambda name: measured[name].median)
    agrees = "which was the faster one here, too" if chosen == fastest else f"while {fastest} was the faster one here"
    return [f"--engine auto takes {chosen}, {agrees}"]
