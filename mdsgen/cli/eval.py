"""``mdsgen-eval``: does a bundle's sound belong to its pictures?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from mdsgen.cli.options import bfloat16_option, bundle_option, engine_option, in_a_folder, threads_option
from mdsgen.cli.origin import origin
from mdsgen.cli.reporting import quiet_option, reporting
from mdsgen.cli.sampling import sampling_options
from mdsgen.command import command
from mdsgen.errors import SettingsError
from mdsgen.evaluation.evaluation import evaluate
from mdsgen.evaluation.held_out import HELD_OUT, Clip, check_held_out, held_out
from mdsgen.evaluation.page import write_page
from mdsgen.report import Report, counted
from mdsgen.runtime import Pipeline
from mdsgen.runtime.solver import passes_of, plan_steps
from mdsgen.sampling import Sampling


@command("mdsgen-eval", short_help="Judge whether the sound of a bundle belongs to its pictures.")
@bundle_option
@click.option("--clips", type=click.IntRange(2, HELD_OUT), default=120, show_default=True, help="Scenes to judge.")
@click.option(
    "--seed",
    type=click.IntRange(0, HELD_OUT - 1),
    default=0,
    show_default=True,
    help="The first scene. Each scene's number is also the seed of its sound.",
)
@sampling_options
@engine_option()
@threads_option
@bfloat16_option
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=in_a_folder,
    help="Write a page to see and hear.",
)
@click.option("--shown", type=click.IntRange(1), default=6, show_default=True, help="Clips on that page.")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    bundle: str | Path | None,
    clips: int,
    seed: int,
    engine: str,
    threads: int | None,
    bfloat16: bool,
    page: Path | None,
    shown: int,
    quiet: bool,
    as_json: bool,
    **changes: Any,
) -> None:
    """Generate the sound of held-out scenes and judge it beside real, shuffled and shifted sound."""
    _check(clips, seed)
    if page is None and click.get_current_context().get_parameter_source("shown") is ParameterSource.COMMANDLINE:
        click.echo("note: --shown changes nothing without --html", err=True)
    with (
        reporting(quiet) as report,
        Pipeline.open(bundle, engine, threads=threads, bfloat16=bfloat16) as pipeline,
    ):
        sampling = pipeline.bundle.sampling.changed(**changes)
        rendered, sounds = _generate(pipeline, clips, seed, sampling, report)
        settings = {
            **origin(pipeline, sampling, {"threads": threads, "bfloat16": bfloat16}),
            "geometry": pipeline.bundle.manifest.geometry.name,
            "denoiser_passes": passes_of(plan_steps(sampling, pipeline.bundle.manifest.schedule)),
            "scenes": f"{seed} to {seed + clips - 1}",
        }
        evaluation = evaluate(rendered, sounds, threads=threads, report=report)
    if page:
        write_page(page, evaluation, sounds, shown, settings)
    scores = evaluation.scores
    document = {"settings": settings, "scores": scores.to_dict()}
    click.echo(json.dumps(document, indent=2) if as_json else scores.page())


def _check(clips: int, seed: int) -> None:
    """Raise a usage error where scenes would be judged that are trained on."""
    try:
        check_held_out(clips, seed)
    except SettingsError as error:
        raise click.UsageError(f"--clips and --seed: {error}") from error


def _generate(
    pipeline: Pipeline, clips: int, seed: int, sampling: Sampling, report: Report
) -> tuple[list[Clip], list[np.ndarray]]:
    """Held-out scenes and their sounds, of one window each, made for compressed films of the scenes."""
    duration = pipeline.bundle.manifest.geometry.duration
    rendered, sounds = [], []
    with TemporaryDirectory(prefix="mdsgen-") as folder, ThreadPoolExecutor(1) as beside:
        films = _films(held_out(clips, seed), Path(folder), beside)
        for clip, film in counted(films, clips, "generating the sound of clip", report):
            sound = pipeline(film, seed=clip.scene.seed, duration=min(duration, clip.scene.duration), sampling=sampling)
            film.unlink()
            rendered.append(clip)
            sounds.append(sound.audio)
    return rendered, sounds


def _films(clips: Iterator[Clip], folder: Path, beside: Executor) -> Iterator[tuple[Clip, Path]]:
    """Every scene with its film, which is made while the one before it is looked at."""

    def make() -> tuple[Clip, Path] | None:
        clip = next(clips, None)
        return None if clip is None else (clip, clip.write_film(folder))

    coming = beside.submit(make)
    while made := coming.result():
        coming = beside.submit(make)
        yield made


if __name__ == "__main__":
    main()
