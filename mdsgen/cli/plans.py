"""The part of ``mdsgen-export`` that builds TensorRT plans on the device: its options, and when it does so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from mdsgen.bundle import Bundle
from mdsgen.command import F, give_options, wrong_use
from mdsgen.engines.plans import HARDWARE_LEVELS
from mdsgen.errors import EngineError, ExportError
from mdsgen.export.plan_options import PlanOptions, plan_thresholds
from mdsgen.precision import PRECISIONS
from mdsgen.report import Report

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["auto", "onnxruntime", "tensorrt"]),
        default="auto",
        show_default=True,
        help="tensorrt: build plans for this machine, into a --bundle as it is. auto: after an fp16 export, if it can.",
    ),
    click.option("--workspace", type=click.IntRange(1), help="MiB that a layer of a plan may use while it runs."),
    click.option("--optimisation-level", type=click.IntRange(0, 5), help="Of TensorRT's builder: higher takes longer."),
    click.option("--tactic-source", "tactic_sources", multiple=True, help="Take kernels from these alone; repeatable."),
    click.option("--version-compatible", is_flag=True, help="Plans for later TensorRT of the same major version, too."),
    click.option(
        "--hardware-compatible", type=click.Choice(sorted(HARDWARE_LEVELS)), help="Plans for such other GPUs, too."
    ),
    click.option("--fixed-steps", type=click.IntRange(1), help="Plans for just this number of steps."),
    click.option("--max-steps", type=click.IntRange(1), default=50, show_default=True, help="Most steps of a plan."),
    click.option("--timing-cache", type=click.Path(path_type=Path), help="Where TensorRT keeps its timings."),
)


@dataclass(frozen=True)
class PlanRequest:
    """What a command was told about plans: whether to build any (``engine``), how, and where timings are kept."""

    engine: str
    options: PlanOptions
    timing_cache: Path | None


def plan_options(function: F) -> F:
    """Give a command these options, in this order."""
    return give_options(function, _OPTIONS)


def take_plan_request(settings: dict[str, Any]) -> PlanRequest:
    """What of a command's settings is about plans; it is taken out of ``settings``."""
    engine, timing_cache = settings.pop("engine"), settings.pop("timing_cache")
    names = [option.name for option in fields(PlanOptions)]
    return PlanRequest(engine, PlanOptions(**{name: settings.pop(name) for name in names}), timing_cache)


def check_planned(precision: str, request: PlanRequest) -> None:
    """Raise where plans were asked for, by name, and cannot be built, before anything else is done.

    A usage error for a precision that has none, :class:`EngineError` where something is missing here.
    """
    if request.engine == "tensorrt":
        with wrong_use(ExportError):
            plan_thresholds(PRECISIONS[precision])
        from mdsgen.export.plans import this_machine
        from mdsgen.export.tensorrt import import_polygraphy

        this_machine()
        import_polygraphy()


def build(bundle: Bundle, video: Path | None, tolerance: float, request: PlanRequest, report: Report) -> Path:
    """Plans for a bundle, verified on a video."""
    from mdsgen.export.clip import verification_frames
    from mdsgen.export.plans import build_plans

    check_planned(bundle.manifest.precision, request)
    return build_plans(
        bundle,
        frames=verification_frames(bundle.manifest.geometry, video),
        options=request.options,
        cache=request.timing_cache,
        tolerance=tolerance,
        report=report,
    )


def build_if_possible(
    bundle: Bundle, video: Path | None, tolerance: float, request: PlanRequest, report: Report
) -> None:
    """After an export: build what was asked for, or with ``auto`` what can be, and say what is still to be done."""
    if request.engine == "tensorrt":
        build(bundle, video, tolerance, request, report)
    elif request.engine == "auto" and PRECISIONS[bundle.manifest.precision].plans_by_default:
        missing = _missing()
        if missing is None:
            build(bundle, video, tolerance, request, report)
        else:
            report(
                f"TensorRT plans are not built here ({missing}): on the device, run "
                f"mdsgen-export --bundle {bundle.folder} --engine tensorrt"
            )


def _missing() -> str | None:
    """In words, what keeps plans from being built here; None where nothing does."""
    from mdsgen.export.plans import this_machine
    from mdsgen.export.tensorrt import import_polygraphy

    try:
        this_machine()
        import_polygraphy()
    except (EngineError, ExportError) as error:
        return str(error).partition(":")[0]
    return None
