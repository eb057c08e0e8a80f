"""A bundle's TensorRT plans for this machine: all five built and verified against ONNX Runtime, or none kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mdsgen.bundle import GRAPHS, Bundle
from mdsgen.cache import cache_folder
from mdsgen.engines import EngineOptions
from mdsgen.engines.cuda import Device
from mdsgen.engines.plans import PLANS_FOLDER, SUFFIX, Machine, PlanRecord
from mdsgen.engines.tensorrt import import_tensorrt, machine_of
from mdsgen.errors import ExportError
from mdsgen.export.bundle_original import BundleOriginal
from mdsgen.export.parity import require_passed, table
from mdsgen.export.plan_options import PlanOptions, plan_thresholds
from mdsgen.export.tensorrt import build_plan, import_polygraphy
from mdsgen.export.verify import Reference, compare, run_reference
from mdsgen.files import sha256, whole_folder
from mdsgen.parity import Parity
from mdsgen.precision import PRECISIONS, Thresholds
from mdsgen.report import Report, silent
from mdsgen.runtime.networks import Networks


def this_machine() -> Machine:
    """What plans would be built for. Raises :class:`~mdsgen.errors.EngineError` that names what is missing."""
    return machine_of(import_tensorrt(), Device.shared())


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
    report: Report = silent,
) -> Path:
    """Build and verify the plans of all graphs and keep them in the bundle; gives their folder.

    ``frames [F, 3, size, size]`` are the clip on which they are compared. ``cache`` None is :func:`timing_cache`.
    Raises :class:`ExportError` where one cannot be built or is too far off, with all figures. Older plans are then
    untouched.
    """
    options, precision = options or PlanOptions(), PRECISIONS[bundle.manifest.precision]
    thresholds = plan_thresholds(precision).lowered(tolerance)
    machine = this_machine()
    import_polygraphy()
    cache = cache or timing_cache(machine)
    target = bundle.folder / PLANS_FOLDER / machine.key
    report(f"building TensorRT plans of {len(GRAPHS)} networks in {precision.name} for {machine}")
    report(f"this takes minutes on a Jetson, less from the second time on: timings are kept in {cache}")
    with _disk_errors(target), whole_folder(target, replace=True) as folder:
        cache.parent.mkdir(parents=True, exist_ok=True)
        record = _build_all(bundle, machine, folder, options, cache, report)
        record.write(folder)
        report("verifying against ONNX Runtime on the CPU")
        figures = _verify(bundle, folder, frames, options, thresholds)
        for line in table(figures).splitlines():
            report(line)
        require_passed(figures, f"no plans kept, too far from ONNX Runtime in {precision.name}")
        dataclasses.replace(record, quality=[figure.to_dict() for figure in figures]).write(folder)
    return target


def _build_all(
    bundle: Bundle, machine: Machine, folder: Path, options: PlanOptions, cache: Path, report: Report
) -> PlanRecord:
    manifest = bundle.manifest
    plans: dict[str, str] = {}
    for count, name in enumerate(GRAPHS):
        report(f"building {name} ({count + 1} of {len(GRAPHS)})")
        start, path = time.perf_counter(), folder / f"{bundle.path(name).stem}{SUFFIX}"
        content = build_plan(bundle, name, options, cache, report)
        path.write_bytes(content)
        plans[path.stem] = sha256(path)
        report(f"  {name}: {len(content) / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
    sources = {bundle.path(n).stem: {f.file: f.sha256 for f in manifest.graphs[n].files} for n in GRAPHS}
    return PlanRecord(machine, sources, plans, options.to_dict())


def _verify(
    bundle: Bundle, folder: Path, frames: np.ndarray, options: PlanOptions, thresholds: Thresholds
) -> tuple[Parity, ...]:
    reference = _reference(bundle, frames, options)
    with Networks(bundle, "tensorrt", EngineOptions(plans=folder)) as networks:
        return tuple(compare(networks, reference, thresholds))


def _reference(bundle: Bundle, frames: np.ndarray, options: PlanOptions) -> Reference:
    """The clip as ONNX Runtime makes it, in as many steps as the plans take."""
    steps = options.fixed_steps or min(bundle.sampling.steps, options.max_steps)
    with Networks(bundle, "onnxruntime") as networks:
        original = BundleOriginal(networks, "ONNX Runtime")
        return run_reference(original, frames, bundle.sampling.changed(steps=steps))


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"the plans {target} cannot be written: {error}; copy the bundle to where you may write, and name the copy"
        ) from error
