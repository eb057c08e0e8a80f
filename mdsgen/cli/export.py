"""``mdsgen-export``: from PyTorch weights, or from another bundle, to a verified bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mdsgen.bundle import PRECISIONS, Bundle, SamplerDefaults, check_target, default_bundle
from mdsgen.cli.calibration import calibration_arguments, calibration_options, take_calibration
from mdsgen.cli.errors import command
from mdsgen.cli.plans import build, build_if_possible, plan_options, take_plan_settings
from mdsgen.errors import ExportError
from mdsgen.geometry import GEOMETRIES, Geometry, geometry

if TYPE_CHECKING:
    from mdsgen.export import Models

MODEL_SIZES = ("tiny", "small", "base")

OUTPUT = Path("mdsgen-bundle")
"""What is written when nobody says otherwise."""


@command("mdsgen-export")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Convert this bundle, of fp32 or fp16-weights.  [default: $MDSGEN_BUNDLE, or the demo model]",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="The denoiser's weights (mdsgen_audioldm.pt).")
@click.option("--cavp", type=click.Path(path_type=Path), help="The video encoder's weights (cavp_epoch66.ckpt).")
@click.option("--audioldm", help="Folder or hub id of the audio networks (cvssp/audioldm-s-full-v2).")
@click.option("--trained", type=click.Path(path_type=Path), help="A folder that mdsgen-train worked in (--work).")
@click.option("--untrained", is_flag=True, help="Export seeded weights: for parity and speed, not for sound.")
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
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp16", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1000), help="The bundle's default.  [default: 25]")
@click.option("--guidance", type=float, help="The bundle's default.  [default: 5.0]")
@click.option("--clean-limit", type=float, help="The bundle's default.  [default: none]")
@click.option("--video", type=click.Path(path_type=Path), help="Verify on this video.  [default: a rendered one]")
@click.option("--tolerance", type=float, default=0.0, help="Accept so many decibels less than required, 0 to 100.")
@calibration_options
@plan_options
@click.option("--replace", is_flag=True, help="Replace a bundle that is there already.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True, help="The result.")
def main(
    bundle: Path | None,
    checkpoint: Path | None,
    cavp: Path | None,
    audioldm: str | None,
    trained: Path | None,
    untrained: bool,
    model: str | None,
    geometry_name: str | None,
    decode_layer: int | None,
    steps: int | None,
    guidance: float | None,
    clean_limit: float | None,
    video: Path | None,
    output: Path,
    **settings: Any,
) -> None:
    """Bring a model to ONNX in one precision, verify every graph, and keep all of it as a bundle.

    With --bundle and --engine tensorrt the bundle stays as it is and gets TensorRT plans for this machine.

    Published PyTorch weights: name --checkpoint, --cavp and --audioldm; those of mdsgen-train: --trained. With none of
    them a bundle that is there already is converted, the demo model where none is named; that needs no PyTorch.
    """
    files = {"--checkpoint": checkpoint, "--cavp": cavp, "--audioldm": audioldm}
    sampler = {"steps": steps, "guidance": guidance, "clean_limit": clean_limit}
    _check_source(files, {"--trained": trained, "--untrained": untrained or None, "--bundle": bundle})
    if checkpoint is None:
        _refuse({"--decode-layer": decode_layer}, "belongs to a --checkpoint")
    plans, calibration = take_plan_settings(settings), take_calibration(settings)
    if bundle is not None and plans["engine"] == "tensorrt":
        click.echo(build(_unconverted(bundle), video, settings["tolerance"], plans))
        return
    settings |= {"target": output, "report": partial(click.echo, err=True)}
    if untrained or checkpoint is not None:
        space = geometry(geometry_name or ("paper" if untrained else "release"))
        load = _loader(checkpoint, cavp, audioldm, space, decode_layer, model)
        done = _export(load, space, video, sampler, settings, calibration)
    elif trained is not None:
        _refuse({"--model": model, "--geometry": geometry_name}, "is said by the weights of --trained themselves")
        done = _export_trained(trained, video, sampler, settings, calibration)
    else:
        named: dict[str, object] = {"--model": model, "--geometry": geometry_name}
        named |= {"--steps": steps, "--guidance": guidance, "--clean-limit": clean_limit}
        _refuse(named, "belongs to PyTorch weights: a converted bundle keeps its own")
        done = _convert(Bundle.open(bundle or default_bundle()), video, settings, calibration)
    build_if_possible(done, video, settings["tolerance"], plans)
    click.echo(done.folder)


def _unconverted(bundle: Path) -> Bundle:
    """The bundle that gets plans as it is. Raises a usage error where another precision was named."""
    context = click.get_current_context()
    opened = Bundle.open(bundle)
    named = context.get_parameter_source("precision") is ParameterSource.COMMANDLINE
    if named and context.params["precision"] != opened.manifest.precision:
        raise click.UsageError(
            f"--engine tensorrt builds plans of {bundle} as it is, in {opened.manifest.precision}: convert it first"
        )
    return opened


def _check_source(files: Mapping[str, object], others: Mapping[str, object]) -> None:
    """Raise a usage error unless at most one source is named: all the files, or one of the others."""
    missing = [option for option, value in files.items() if value is None]
    if missing and len(missing) < len(files):
        raise click.UsageError(f"a whole model needs {', '.join(missing)} as well")
    named = [option for option, value in {**files, **others}.items() if value is not None]
    sources = len([option for option in named if option in others]) + (not missing)
    if sources > 1:
        raise click.UsageError(f"{', '.join(named)} are different models: name one")


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raise a usage error where one of the options was given."""
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"{option} {reason}")


def _loader(
    checkpoint: Path | None,
    cavp: Path | None,
    audioldm: str | None,
    space: Geometry,
    decode_layer: int | None,
    model: str | None,
) -> Callable[[], Models]:
    """What loads the models of the files, or where none are named makes seeded ones."""
    with _needed("exporting needs PyTorch and ONNX", "export"):
        from mdsgen.export import published_models, seeded_models
    if checkpoint is None or cavp is None or audioldm is None:
        return partial(seeded_models, space, model or "tiny")
    return partial(published_models, checkpoint, cavp, audioldm, space, decode_layer, model)


def _export(
    load: Callable[[], Models],
    space: Geometry,
    video: Path | None,
    sampler: dict[str, Any],
    settings: dict[str, Any],
    calibration: dict[str, Any],
) -> Bundle:
    """``load`` is called once the video and the target have been found good. INT8 is made of an FP32 bundle."""
    with _needed("exporting needs PyTorch and ONNX", "export"):
        from mdsgen.export import export_bundle, verification_frames
    frames = verification_frames(space, video)
    defaults = SamplerDefaults(**{name: value for name, value in sampler.items() if value is not None})
    if settings["precision"] != "int8":
        return export_bundle(load, frames=frames, sampler=defaults, **settings)
    calibration_arguments(calibration, space)  # what is missing is said before anything else is done
    check_target(settings["target"], replace=settings["replace"])
    with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder:
        full = settings | {"precision": "fp32", "target": Path(folder) / "fp32", "replace": False}
        source = export_bundle(load, frames=frames, sampler=defaults, **full)
        return _convert(source, video, settings, calibration)


def _export_trained(
    work: Path,
    video: Path | None,
    sampler: dict[str, Any],
    settings: dict[str, Any],
    calibration: dict[str, Any],
) -> Bundle:
    with _needed("exporting needs PyTorch and ONNX", "export"):
        from mdsgen.export import trained_models
    models = trained_models(work)
    return _export(lambda: models, models.geometry, video, sampler, settings, calibration)


def _convert(source: Bundle, video: Path | None, settings: dict[str, Any], calibration: dict[str, Any]) -> Bundle:
    with _needed("converting needs ONNX", "convert"):
        from mdsgen.export import convert_bundle, verification_frames
    space = source.manifest.geometry
    arguments = calibration_arguments(calibration, space) if settings["precision"] == "int8" else {}
    return convert_bundle(source, frames=verification_frames(space, video), **arguments, **settings)


@contextmanager
def _needed(what: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ExportError(f"{what} ({error}): pip install 'mdsgen[{extra}]'") from error


if __name__ == "__main__":
    main()
