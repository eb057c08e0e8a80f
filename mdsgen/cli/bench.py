"""``mdsgen-bench``: how long a bundle takes, and how much faster it is than PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mdsgen.bench.clip import time_clip
from mdsgen.bench.report import Report
from mdsgen.bundle import Bundle, default_bundle
from mdsgen.cli.errors import command
from mdsgen.cli.export import MODEL_SIZES
from mdsgen.cli.sampling import sampling_options
from mdsgen.engines import AVAILABLE, EngineOptions
from mdsgen.errors import ExportError
from mdsgen.geometry import GEOMETRIES
from mdsgen.runtime import sampler_settings


@command("mdsgen-bench")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="The bundle.  [default: $MDSGEN_BUNDLE, or the demo model; with --compare, graphs made for it]",
)
@click.option("--compare", type=click.Choice(["torch"]), help="Time the guided denoiser step against this instead.")
@click.option(
    "--geometry",
    "geometry_name",
    type=click.Choice(sorted(GEOMETRIES)),
    help="Latent geometry to compare in.  [default: release]",
)
@click.option("--model", type=click.Choice(MODEL_SIZES), help="Size to compare.  [default: base]")
@click.option("--engine", default="auto", show_default=True, help=f"One of {', '.join(AVAILABLE)}.")
@click.option("--threads", type=click.IntRange(1), help="Threads, of both sides of a comparison.  [default: cores]")
@click.option(
    "--bfloat16", is_flag=True, help="Compute in bfloat16 where engine and processor can: faster, less exact."
)
@sampling_options
@click.option("--repeat", type=click.IntRange(1), help="Timed runs.  [default: 3 clips, or 10 compared steps]")
@click.option("--warmup", type=click.IntRange(0), default=2, show_default=True, help="Runs before them, not timed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    bundle: Path | None,
    compare: str | None,
    geometry_name: str | None,
    model: str | None,
    engine: str,
    threads: int | None,
    bfloat16: bool,
    repeat: int | None,
    warmup: int,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Time every stage of a bundle, on random pictures, or with --compare its denoiser step against PyTorch.

    Compared are seeded weights: those of --geometry and --model, or a bundle that was exported with --untrained.
    """
    if (geometry_name or model) and (bundle or not compare):
        raise click.UsageError("--geometry and --model are for --compare without a --bundle, which has its own")
    if compare and bfloat16:
        raise click.UsageError("--bfloat16 is for whole clips: --compare wants the same figures from both sides")
    if compare and any(value is not None for value in sampling.values()):
        raise click.UsageError("how a clip is sampled is for whole clips: --compare times single steps")
    if compare:
        opened = Bundle.open(bundle) if bundle else None
        subject = (geometry_name or "release", model or "base")
        report = _comparison(opened, subject, engine, threads, repeat or 10, warmup)
    else:
        opened = Bundle.open(bundle or default_bundle())
        settings = sampler_settings(opened.manifest.sampler, **sampling)
        report = time_clip(
            opened, engine, EngineOptions(threads, bfloat16=bfloat16), settings, repeat=repeat or 3, warmup=warmup
        )
    click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if as_json else report.page())


def _comparison(
    bundle: Bundle | None, subject: tuple[str, str], engine: str, threads: int | None, repeat: int, warmup: int
) -> Report:
    try:
        from mdsgen.bench.comparison import compare_with_torch, seeded_as
    except ImportError as error:
        raise ExportError(f"comparing needs PyTorch and ONNX ({error}): pip install 'mdsgen[export]'") from error
    models = seeded_as(bundle, *subject)
    return compare_with_torch(models, bundle, engine, threads, repeat=repeat, warmup=warmup)


if __name__ == "__main__":
    main()
