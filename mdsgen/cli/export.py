"""``mdsgen-export``: from PyTorch weights to a verified bundle."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from mdsgen.cli.errors import command
from mdsgen.cli.run import DEFAULT_BUNDLE
from mdsgen.errors import ExportError
from mdsgen.geometry import GEOMETRIES, geometry

MODEL_SIZES = ("tiny", "small", "base")


@command("mdsgen-export")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="The denoiser's weights (mdsgen_audioldm.pt).")
@click.option("--cavp", type=click.Path(path_type=Path), help="The video encoder's weights (cavp_epoch66.ckpt).")
@click.option("--audioldm", help="Folder or hub id of the audio networks (cvssp/audioldm-s-full-v2).")
@click.option(
    "--model", type=click.Choice(MODEL_SIZES), help="Size of the denoiser.  [default: the checkpoint's; tiny]"
)
@click.option(
    "--geometry",
    "geometry_name",
    type=click.Choice(sorted(GEOMETRIES)),
    help="Latent geometry.  [default: release with a checkpoint, paper without]",
)
@click.option(
    "--decode-layer", type=click.IntRange(1), help="Last blocks that see all tokens.  [default: the published size's]"
)
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp16", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1000), default=25, show_default=True, help="The bundle's default.")
@click.option("--guidance", type=float, default=5.0, show_default=True, help="The bundle's default.")
@click.option("--video", type=click.Path(path_type=Path), help="Verify on this video.  [default: a rendered one]")
@click.option("--tolerance", type=float, default=0.0, help="Accept so many decibels less than required, 0 to 100.")
@click.option("--replace", is_flag=True, help="Replace a bundle that is there already.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, show_default=True, help="The bundle."
)
def main(
    checkpoint: Path | None,
    cavp: Path | None,
    audioldm: str | None,
    model: str | None,
    geometry_name: str | None,
    decode_layer: int | None,
    precision: str,
    steps: int,
    guidance: float,
    video: Path | None,
    tolerance: float,
    replace: bool,
    output: Path,
) -> None:
    """Export a model to ONNX, verify every graph against PyTorch, and keep it as a bundle.

    Published or self-trained weights: name --checkpoint, --cavp and --audioldm. With none of the three the published
    architectures get seeded, untrained weights: good for parity and speed, not for sound.
    """
    named = {"--checkpoint": checkpoint, "--cavp": cavp, "--audioldm": audioldm}
    missing = [option for option, value in named.items() if value is None]
    if missing and len(missing) < len(named):
        raise click.UsageError(f"a whole model needs {', '.join(missing)} as well")
    if missing and decode_layer is not None:
        raise click.UsageError("--decode-layer belongs to a --checkpoint")
    try:
        from mdsgen.export import export_bundle, published_models, seeded_models, verification_frames
    except ImportError as error:
        raise ExportError(f"exporting needs PyTorch and ONNX ({error}): pip install 'mdsgen[export]'") from error
    from mdsgen.bundle import SamplerDefaults

    if checkpoint is not None and cavp is not None and audioldm is not None:
        space = geometry(geometry_name or "release")
        load = partial(published_models, checkpoint, cavp, audioldm, space, decode_layer, model)
    else:
        space = geometry(geometry_name or "paper")
        click.echo("no weights named: exporting seeded, untrained ones, for parity and speed, not for sound", err=True)
        load = partial(seeded_models, space, model or "tiny")
    bundle = export_bundle(
        load,  # once the video and the target have been found good
        output,
        precision=precision,
        frames=verification_frames(space, video),
        sampler=SamplerDefaults(steps=steps, guidance=guidance),
        tolerance=tolerance,
        replace=replace,
        report=partial(click.echo, err=True),
    )
    click.echo(bundle.folder)


if __name__ == "__main__":
    main()
