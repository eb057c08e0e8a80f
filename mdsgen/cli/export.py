"""``mdsgen-export``: from PyTorch weights, or from another bundle, to a verified bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mdsgen.bundle import Bundle, default_bundle
from mdsgen.cli.calibration import calibration_options, take_calibration
from mdsgen.cli.options import PLACE, finite
from mdsgen.cli.plans import (
    build,
    build_if_possible,
    check_planned,
    plan_options,
    take_plan_request,
)
from mdsgen.cli.reporting import quiet_option, reporting
from mdsgen.cli.sampling import STEPS
from mdsgen.command import command
from mdsgen.errors import ExportError
from mdsgen.export.options import ExportOptions
from mdsgen.geometry import GEOMETRIES, Geometry, geometry
from mdsgen.precision import PRECISIONS
from mdsgen.report import Report
from mdsgen.sampling import MOST_GUIDANCE, Sampling

if TYPE_CHECKING:
    from mdsgen.export import Models

MODEL_SIZES = ("tiny", "small", "base")

OUTPUT = Path("mdsgen-bundle")
"""What is written when nobody says otherwise."""

_SOURCE = (
    *("bundle", "checkpoint", "cavp", "audioldm", "trained", "untrained"),
    *("model", "geometry_name", "decode_layer"),
)
_SAMPLING = ("steps", "guidance", "clean_limit")


@command("mdsgen-export", short_help="Make a bundle of PyTorch weights, or of another bundle.")
@click.option(
    "--bundle",
    type=PLACE,
    help="Convert this bundle, of fp32 or fp16-weights.  [default: $MDSGEN_BUNDLE, or the demo model]",
)
@click.option("--checkpoint", type=PLACE, help="The denoiser's weights (mdsgen_audioldm.pt; or hf://…).")
@click.option("--cavp", type=PLACE, help="The video encoder's weights (cavp_epoch66.ckpt; or hf://…).")
@click.option("--audioldm", help="Folder or hub id of the audio networks (cvssp/audioldm-s-full-v2).")
@click.option("--trained", type=click.Path(path_type=Path), help="A folder that mdsgen-train worked in (--work).")
@click.option(
    "--untrained", is_flag=True, help="Export seeded weights: to time and to compare engines with, not to listen to."
)
@click.option(
    "--model", type=click.Choice(MODEL_SIZES), help="Size of the denoiser.  [default: the checkpoint's; tiny]"
)
@click.option(
    "--geometry",
    "geometry_name",
    type=click.Choice(sorted(GEOMETRIES)),
    help="Latent geometry.  [default: release with a checkpoint, paper with --untrained]",
)
@click.option(
    "--decode-layer", type=click.IntRange(1), help="Last blocks that see all tokens.  [default: the published size's]"
)
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default=ExportOptions.precision,
    show_default=True,
    help="What weights are kept in, and what is computed in: fp16 for a GPU, fp16-weights or int8 for a processor.",
)
@click.option(
    "--steps",
    type=STEPS,
    help=f"Denoising steps where nobody names any, kept in the bundle.  [default: {Sampling.steps}]",
)
@click.option(
    "--guidance",
    type=click.FloatRange(0, MOST_GUIDANCE),
    callback=finite,
    help=f"Guidance where nobody names any, kept in the bundle.  [default: {Sampling.guidance}]",
)
@click.option(
    "--clean-limit",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    help="Clip every clean estimate to this magnitude, kept in the bundle.  [default: no limit]",
)
@click.option("--video", type=click.Path(path_type=Path), help="Verify on this video.  [default: a rendered one]")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    callback=finite,
    default=ExportOptions.tolerance,
    show_default=True,
    help="Accept so many decibels less than required.",
)
@calibration_options
@plan_options
@click.option("--replace", is_flag=True, help="Replace a bundle that is there already.")
@quiet_option
@click.option("-o", "--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True, help="The result.")
def main(video: Path | None, output: Path, quiet: bool, **settings: Any) -> None:
    """Bring a model to ONNX in one precision, verify every graph, and keep all of it as a bundle.

    With --bundle and --engine tensorrt the bundle stays as it is and gets TensorRT plans for this machine.

    Published PyTorch weights: name --checkpoint, --cavp and --audioldm; those of mdsgen-train: --trained. With none of
    them a bundle that is there already is converted, the demo model where none is named; that needs no PyTorch.
    """
    source, sampling = (_take(settings, names) for names in (_SOURCE, _SAMPLING))
    plans, calibration = take_plan_request(settings), take_calibration(settings)
    options = ExportOptions(calibration=calibration, **settings)
    _check_source(source)
    _check_belongings(source, sampling)
    with reporting(quiet) as report:
        if source["bundle"] is not None and plans.engine == "tensorrt":
            folder = build(_unconverted(source["bundle"]), video, options.tolerance, plans, report)
        else:
            check_planned(options.precision, plans)
            done = _make(source, sampling, video, output, options, report)
            build_if_possible(done, video, options.tolerance, plans, report)
            folder = done.folder
    click.echo(folder)


def _take(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """These of the settings; they are taken out."""
    return {name: settings.pop(name) for name in names}


def _unconverted(bundle: str | Path) -> Bundle:
    """The bundle that gets plans as it is. Raises a usage error where another precision was named."""
    context = click.get_current_context()
    opened = Bundle.open(bundle)
    named = context.get_parameter_source("precision") is ParameterSource.COMMANDLINE
    if named and context.params["precision"] != opened.manifest.precision:
        raise click.UsageError(
            f"--engine tensorrt builds plans of {bundle} as it is, in {opened.manifest.precision}: convert it first"
        )
    return opened


def _check_source(source: Mapping[str, Any]) -> None:
    """Raise a usage error unless at most one source is named: all the files, or one of the others."""
    files = {"--checkpoint": source["checkpoint"], "--cavp": source["cavp"], "--audioldm": source["audioldm"]}
    others = {
        "--trained": source["trained"],
        "--untrained": source["untrained"] or None,
        "--bundle": source["bundle"],
    }
    missing = [option for option, value in files.items() if value is None]
    if missing and len(missing) < len(files):
        raise click.UsageError(f"a whole model needs {', '.join(missing)} as well")
    named = [option for option, value in {**files, **others}.items() if value is not None]
    sources = len([option for option in named if option in others]) + (not missing)
    if sources > 1:
        raise click.UsageError(f"{', '.join(named)} are different models: name one")


def _check_belongings(source: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
    """Raise a usage error for options that say what the source says itself."""
    of_weights = {"--model": source["model"], "--geometry": source["geometry_name"]}
    if source["checkpoint"] is None:
        _refuse({"--decode-layer": source["decode_layer"]}, "belongs to a --checkpoint")
    if source["trained"] is not None:
        _refuse(of_weights, "is said by the weights of --trained themselves")
    elif source["checkpoint"] is None and not source["untrained"]:
        of_weights |= {f"--{name.replace('_', '-')}": value for name, value in sampling.items()}
        _refuse(of_weights, "belongs to PyTorch weights: a converted bundle keeps its own")


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raise a usage error where one of the options was given."""
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"{option} {reason}")


def _make(
    source: Mapping[str, Any],
    sampling: Mapping[str, Any],
    video: Path | None,
    target: Path,
    options: ExportOptions,
    report: Report,
) -> Bundle:
    """The bundle of the source that was named, whichever it is."""
    if source["trained"] is None and source["checkpoint"] is None and not source["untrained"]:
        return _convert(Bundle.open(source["bundle"] or default_bundle()), video, target, options, report)
    with _needed("exporting needs PyTorch and ONNX", "export"):
        from mdsgen.export import export_bundle, trained_models, verification_frames
    if source["trained"] is not None:
        models = trained_models(source["trained"])
        load, space, usual = (lambda: models), models.geometry, models.sampling
    else:
        space = geometry(source["geometry_name"] or ("paper" if source["untrained"] else "release"))
        load, usual = _loader(source, space), Sampling()
    frames, chosen = verification_frames(space, video), usual.changed(**sampling)
    return export_bundle(load, target, options, frames=frames, sampling=chosen, report=report)


def _loader(source: Mapping[str, Any], space: Geometry) -> Callable[[], Models]:
    """What loads the models of the files, or where none are named makes seeded ones."""
    from mdsgen.export import published_models, seeded_models

    if source["checkpoint"] is None:
        return partial(seeded_models, space, source["model"] or "tiny")
    checkpoint, cavp, audioldm = (source[name] for name in ("checkpoint", "cavp", "audioldm"))
    return partial(published_models, checkpoint, cavp, audioldm, space, source["decode_layer"], source["model"])


def _convert(source: Bundle, video: Path | None, target: Path, options: ExportOptions, report: Report) -> Bundle:
    with _needed("converting needs ONNX", "convert"):
        from mdsgen.export import convert_bundle, verification_frames
    frames = verification_frames(source.manifest.geometry, video)
    return convert_bundle(source, target, options, frames=frames, report=report)


@contextmanager
def _needed(what: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ExportError(f"{what} ({error}): pip install 'mdsgen[{extra}]'") from error


if __name__ == "__main__":
    main()
