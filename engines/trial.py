"""Which engine is the fastest for a graph on this machine: tried once, said, and remembered (:mod:`.choice`)."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mdsgen.cache import cache_folder
from mdsgen.conditions import processor_facts, usable_cores, version_of
from mdsgen.engines.base import Engine, EngineOptions
from mdsgen.engines.choice import Choice, deciding, digest_of, load_average
from mdsgen.parity import snr_db
from mdsgen.tensor import TensorSpec
from mdsgen.timing import PAUSE

LEAST_SNR_DB = 25.0
"""What an engine must reach against the first one to be trusted with the sound."""

_ROUNDS, _WARMUP, _RUNS = 2, 1, 3
_OPEN_AXIS = 2  # how long an axis is whose length is open: both branches of guidance, or two steps

OpenWith = Callable[[str], Engine]
Say = Callable[[str], None]


def fastest(engines: Sequence[str], path: Path, options: EngineOptions, open_with: OpenWith, say: Say) -> str:
    """The engine that runs the graph fastest, of those that compute what the first one does.

    Asked once per processor, graph, options and versions of the engines: the answer is kept, and processes that start
    together wait for the one that tries. Where it cannot be kept, or takes another process too long, it is the first
    engine: a trial of one's own could choose differently every time. ``say`` gets a line when there is a trial, and
    when the first engine is taken without one. Raises what ``open_with`` raises.
    """
    kept = cache_folder("engines") / f"{path.stem}-{_key(engines, path, options)}.json"
    remembered = _remembered(kept, engines)
    if remembered:
        return remembered
    try:
        with deciding(kept) as alone:
            return _remembered(kept, engines) or _decided(engines, path, options, open_with, say, kept, alone)
    except OSError as error:
        say(
            f"the choice of an engine cannot be kept in {kept.parent} ({error.strerror or error}), so none is tried: "
            f"running on {engines[0]}; set MDSGEN_CACHE to a folder that can be written, or name an engine"
        )
        return engines[0]


def _remembered(kept: Path, engines: Sequence[str]) -> str:
    """The engine of an earlier trial that still counts; empty where there is none."""
    choice = Choice.read(kept)
    return choice.engine if choice is not None and choice.engine in engines and choice.holds else ""


def _decided(
    engines: Sequence[str],
    path: Path,
    options: EngineOptions,
    open_with: OpenWith,
    say: Say,
    kept: Path,
    alone: bool,
) -> str:
    """By a trial that is said and kept, or without one where another process still decides."""
    if not alone:
        say(f"another process is still trying the engines on {path.stem}: running on {engines[0]}")
        return engines[0]
    load, cores = load_average(), usable_cores()
    figures = _try(engines, open_with)
    trusted = [name for name in engines if figures[name]["snr_db"] >= LEAST_SNR_DB]
    chosen = min(trusted, key=lambda name: figures[name]["milliseconds"])
    plain = {name: {**of, "snr_db": of["snr_db"] if of["snr_db"] < math.inf else None} for name, of in figures.items()}
    choice = Choice(chosen, digest_of(path), repr(options), plain, load, cores, time.time())
    choice.write(kept)
    once = "for an hour, as other work runs here" if choice.provisional else "once on this machine"
    say(
        f"tried the engines on {path.stem}, {once}: {_words(figures)}; running on {chosen} "
        "(mdsgen-info shows it, mdsgen-info --forget-engine has them tried again)"
    )
    return chosen


def _words(figures: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{name} {of['milliseconds']:.1f} ms, {of['snr_db']:.0f} dB" for name, of in figures.items())


def _try(engines: Sequence[str], open_with: OpenWith) -> dict[str, dict[str, float]]:
    """Milliseconds of each engine's bound run, and its outputs' signal-to-noise ratio against the first one's.

    The engines run in turn, several runs together as in a loop, after a pause in which the other's threads stop
    spinning. The least time of each counts: whatever else the machine does only adds to it.
    """
    with ExitStack() as stack:
        opened = {name: stack.enter_context(open_with(name)) for name in engines}
        runs, outputs = {}, {}
        for name, engine in opened.items():
            outputs[name] = {spec.name: _array(spec) for spec in engine.outputs}
            runs[name] = engine.bind(_inputs(engine.inputs), outputs[name])
        seconds = [{name: _seconds(run) for name, run in runs.items()} for _ in range(_ROUNDS)]
        least = {name: 1000 * min(taken[name] for taken in seconds) for name in engines}
        found = {name: np.concatenate([array.ravel() for array in outputs[name].values()]) for name in engines}
        first = found[engines[0]]
        return {name: {"milliseconds": least[name], "snr_db": snr_db(first, found[name])} for name in engines}


def _seconds(run: Callable[[], None]) -> float:
    """The least that a run takes, of several in a row."""
    time.sleep(PAUSE)
    taken = []
    for _ in range(_WARMUP + _RUNS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken[_WARMUP:])


def _inputs(specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """The same numbers for every engine, of the size that a network is used to."""
    random = np.random.default_rng(0)
    arrays = {spec.name: _array(spec) for spec in sorted(specs, key=lambda spec: spec.name)}
    for array in arrays.values():
        array[...] = random.standard_normal(array.shape)
    return arrays


def _array(spec: TensorSpec) -> np.ndarray:
    return np.zeros([_OPEN_AXIS if isinstance(length, str) else length for length in spec.shape], spec.dtype)


def _key(engines: Sequence[str], path: Path, options: EngineOptions) -> str:
    """Processor, graph, options and versions as one hexadecimal number."""
    facts = [processor_facts(), digest_of(path), repr(options)]
    facts += [f"{name} {version_of(name) or 'unknown'}" for name in engines]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
