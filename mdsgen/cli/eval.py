"""``mdsgen-eval``: does a bundle's sound belong to its pictures?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from mdsgen.cli.sampling import sampling_options
from mdsgen.command import command
from mdsgen.engines import ENGINES
from mdsgen.evaluation.evaluation import evaluate
from mdsgen.evaluation.held_out import HELD_OUT, Clip, held_out
from mdsgen.evaluation.page import write_page
from mdsgen.runtime import Pipeline
from mdsgen.runtime.solver import passes_of, plan_steps
from mdsgen.sampling import Sampling


@command("mdsgen-eval")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A bundle that mdsgen-export made.  [default: $MDSGEN_BUNDLE, or the demo model]",
)
@click.option("--clips", type=click.IntRange(2, HELD_OUT), default=120, show_default=True, help="Scenes to judge.")
@click.option(
    "--seed",
    type=click.IntRange(0, HELD_OUT - 1),
    default=0,
    show_default=True,
    help="The first scene. Each scene's number is also the seed of its sound.",
)
@sampling_options
@click.option("--engine", default="auto", show_default=True, help=f"One of {', '.join(ENGINES)}.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.  [default: one per physical core]")
@click.option(
    "--bfloat16", is_flag=True, help="Compute in bfloat16 where engine and processor can: faster, less exact."
)
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to see and hear.")
@click.option("--shown", type=click.IntRange(1), default=6, show_default=True, help="Clips on that page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    bundle: Path | None,
    clips: int,
    seed: int,
    engine: str,
    threads: int | None,
    bfloat16: bool,
    page: Path | None,
    shown: int,
    as_json: bool,
    **changes: Any,
) -> None:
    """Generate the sound of held-out scenes and judge it beside real, shuffled and shifted sound.

    Progress goes to stderr, one line per clip.
    """
    with Pipeline.open(bundle, engine, threads=threads, bfloat16=bfloat16) as pipeline:
        sampling = pipeline.bundle.sampling.changed(**changes)
        rendered, sounds = _generate(pipeline, clips, seed, sampling)
        settings = {
            "bundle": str(pipeline.bundle.folder),
            "precision": pipeline.bundle.manifest.precision,
            "geometry": pipeline.bundle.manifest.geometry.name,
            "engine": pipeline.engine,
            **sampling.to_dict(),
            "denoiser_passes": passes_of(plan_steps(sampling, pipeline.bundle.manifest.schedule)),
            "scenes": f"{seed} to {seed + clips - 1}",
        }
    evaluation = evaluate(rendered, sounds, threads=threads, report=_say)
    if page:
        write_page(page, evaluation, sounds, shown, settings)
    scores = evaluation.scores
    document = {"settings": settings, "scores": scores.to_dict()}
    click.echo(json.dumps(document, indent=2) if as_json else scores.page())


def _generate(pipeline: Pipeline, clips: int, seed: int, sampling: Sampling) -> tuple[list[Clip], list[np.ndarray]]:
    """Held-out scenes and their sounds, of one window each."""
    duration = pipeline.bundle.manifest.geometry.duration
    rendered, sounds = [], []
    for clip, frames in held_out(clips, seed):
        started = time.perf_counter()
        sound = pipeline(frames, seed=clip.scene.seed, duration=min(duration, clip.scene.duration), sampling=sampling)
        rendered.append(clip)
        sounds.append(sound.audio)
        _say(f"clip {len(sounds)} of {clips}: {clip.scene.kind}, {time.perf_counter() - started:.2f} s")
    return rendered, sounds


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
