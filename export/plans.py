"""A bundle's TensorRT plans for this machine: all five built and verified against ONNX Runtime, or none kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mdsgen.bundle import GRAPHS, Bundle, Quality, describe_file
from mdsgen.cache import cache_folder
from mdsgen.engines import EngineOptions
from mdsgen.engines.cuda import Device
from mdsgen.engines.plans import PLANS_FOLDER, SUFFIX, Machine, PlanRecord
from mdsgen.engines.tensorrt import import_tensorrt, machine_of
from mdsgen.errors import ExportError
from mdsgen.export.bundle_original import BundleOriginal
from mdsgen.export.parity import CLIP, SPECTROGRAM, in_words, table
from mdsgen.export.tensorrt import PlanOptions, build_plan, import_polygraphy
from mdsgen.export.verify import Reference, compare, run_reference
from mdsgen.files import whole_folder
from mdsgen.report import Report
from mdsgen.runtime.networks import Networks

AGREEMENT = {"fp32": (80.0, 60.0), "fp16-weights": (80.0, 60.0), "fp16": (45.0, 30.0), "int8": (30.0, 15.0)}
"""The least decibels of a plan against ONNX Runtime on the same graph: every network's, and the whole clip's. Other
precisions have no plans."""


def this_machine() -> Machine:
    """What plans would be built for. Raises :class:`~mdsgen.errors.EngineError` that names what is missing."""
    return machine_of(import_tensorrt(), Device.shared())


def require_plannable(precision: str) -> None:
    """Raise :class:`ExportError` for a precision that there are no plans of."""
    if precision not in AGREEMENT:
        known = ", ".join(AGREEMENT)
        raise ExportError(
            f"there are no plans of {precision}, which saves memory on a CPU: export a bundle in one of {known}"
        )


def timing_cache(machine: Machine) -> Path:
    """Where TensorRT keeps what it has timed."""
    return cache_folder("tensorrt") / f"{machine.key}.timing"


def build_plans(
    bundle: Bundle,
    *,
    frames: np.ndarray,
    options: PlanOptions | None = None,
    cache: Path | None = None,
    tolerance: float = 0.0,
    report: Report = lambda line: None,
) -> Path:
    """Build and verify the plans of all graphs and keep them in the bundle; gives their folder.

    ``frames [F, 3, 224, 224]`` are the clip on which they are compared. ``cache`` None is :func:`timing_cache`. Raises
    :class:`ExportError` where one cannot be built or is too far off, with all figures. Older plans are then untouched.
    """
    options = options or PlanOptions()
    require_plannable(bundle.manifest.precision)
    machine = this_machine()
    import_polygraphy()
    cache = cache or timing_cache(machine)
    target = bundle.folder / PLANS_FOLDER / machine.key
    report(f"building TensorRT plans of {len(GRAPHS)} networks in {bundle.manifest.precision} for {machine}")
    report(f"this takes minutes on a Jetson, less from the second time on: timings are kept in {cache}")
    with _disk_errors(target), whole_folder(target, replace=True) as folder:
        cache.parent.mkdir(parents=True, exist_ok=True)
        record = _build_all(bundle, machine, folder, options, cache, report)
        record.write(folder)
        quality = _verify(bundle, folder, frames, options, tolerance, report)
        for line in table(quality).splitlines():
            report(line)
        _require_passed(quality, bundle.manifest.precision)
        dataclasses.replace(record, quality=[figure.to_dict() for figure in quality]).write(folder)
    return target


def _build_all(
    bundle: Bundle, machine: Machine, folder: Path, options: PlanOptions, cache: Path, report: Report
) -> PlanRecord:
    manifest = bundle.manifest
    plans: dict[str, str] = {}
    for count, name in enumerate(GRAPHS):
        report(f"building {name} ({count + 1} of {len(GRAPHS)})")
        start, path = time.perf_counter(), folder / f"{bundle.path(name).stem}{SUFFIX}"
        content = build_plan(
            bundle.path(name),
            manifest.graphs[name].inputs,
            manifest.precision,
            manifest.sampler.steps,
            options,
            cache,
            report,
        )
        path.write_bytes(content)
        plans[path.stem] = describe_file(path).sha256
        report(f"  {name}: {len(content) / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
    sources = {bundle.path(n).stem: {f.file: f.sha256 for f in manifest.graphs[n].files} for n in GRAPHS}
    return PlanRecord(machine, sources, plans, {**vars(options), "tactic_sources": list(options.tactic_sources)})


def _verify(
    bundle: Bundle, folder: Path, frames: np.ndarray, options: PlanOptions, tolerance: float, report: Report
) -> tuple[Quality, ...]:
    report("verifying against ONNX Runtime on the CPU")
    reference = _reference(bundle, frames, options)
    network, clip = AGREEMENT[bundle.manifest.precision]
    thresholds = {**dict.fromkeys(GRAPHS, network - tolerance), SPECTROGRAM: clip - tolerance, CLIP: clip - tolerance}
    with Networks(bundle, "tensorrt", EngineOptions(plans=folder)) as networks:
        return tuple(compare(networks, reference, thresholds))


def _reference(bundle: Bundle, frames: np.ndarray, options: PlanOptions) -> Reference:
    """The clip as ONNX Runtime makes it, in as many steps as the plans take."""
    sampler = bundle.manifest.sampler
    steps = options.fixed_steps or min(sampler.steps, options.max_steps)
    with Networks(bundle, "onnxruntime") as networks:
        original = BundleOriginal(networks, "ONNX Runtime")
        return run_reference(original, frames, dataclasses.replace(sampler, steps=steps))


def _require_passed(quality: tuple[Quality, ...], precision: str) -> None:
    failed = [figure for figure in quality if not figure.passed]
    if failed:
        figures = ", ".join(f"{f.graph} {in_words(f.decibels)} dB of {f.threshold:g}" for f in failed)
        raise ExportError(
            f"no plans kept, in {precision} they are too far from ONNX Runtime: {figures}; a tolerance accepts less"
        )


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"the plans {target} cannot be written: {error}; copy the bundle to where you may write, and name the copy"
        ) from error
