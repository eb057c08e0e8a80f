"""``mdsgen-eval``: does a bundle's sound belong to its pictures?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from mdsgen.cli.eval_options import EvalRequest, eval_options, take_eval_request
from mdsgen.cli.eval_sounds import film_sounds, window_sounds
from mdsgen.cli.options import bfloat16_option, bundle_option, engine_option, in_a_folder, say_idle, threads_option
from mdsgen.cli.origin import origin
from mdsgen.cli.reporting import quiet_option, reporting
from mdsgen.cli.sampling import sampling_options
from mdsgen.command import command
from mdsgen.evaluation.evaluation import evaluate
from mdsgen.evaluation.film_evaluation import evaluate_films
from mdsgen.evaluation.film_scores import FilmScores
from mdsgen.evaluation.page import write_page
from mdsgen.evaluation.page_items import Item, clip_items, film_items
from mdsgen.evaluation.scores import Scores
from mdsgen.report import Report
from mdsgen.runtime import Pipeline
from mdsgen.runtime.solver import passes_of, plan_steps
from mdsgen.sampling import Sampling


@command("mdsgen-eval", short_help="Judge whether the sound of a bundle belongs to its pictures.")
@bundle_option
@eval_options
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
    engine: str,
    threads: int | None,
    bfloat16: bool,
    page: Path | None,
    shown: int,
    quiet: bool,
    as_json: bool,
    **changes: Any,
) -> None:
    """Generate the sound of held-out scenes and judge it beside real, shuffled and shifted sound.

    With --seconds: of long films, beside the sound of their windows alone and real sound.
    """
    request = take_eval_request(changes)
    if page is None:
        say_idle(["shown"], without="html")
    with (
        reporting(quiet) as report,
        Pipeline.open(bundle, engine, threads=threads, bfloat16=bfloat16) as pipeline,
    ):
        sampling = pipeline.bundle.sampling.changed(**changes)
        scores, items = _judged(pipeline, request, sampling, threads, report)
        settings = {
            **origin(pipeline, sampling, {"threads": threads, "bfloat16": bfloat16}),
            "geometry": pipeline.bundle.manifest.geometry.name,
            "denoiser_passes": passes_of(plan_steps(sampling, pipeline.bundle.manifest.schedule)),
            "scenes": str(request),
        }
    if request.seeds > 1 and isinstance(scores, Scores) and scores.generated.diversity is None:
        click.echo("note: nothing of diversity, which takes two scenes of one kind: see --kind and --clips", err=True)
    if page:
        write_page(page, scores.tables, islice(items, shown), settings)
    document = {"settings": settings, "scores": scores.to_dict()}
    click.echo(json.dumps(document, indent=2) if as_json else scores.page())


def _judged(
    pipeline: Pipeline, request: EvalRequest, sampling: Sampling, threads: int | None, report: Report
) -> tuple[Scores | FilmScores, Iterator[Item]]:
    """The scores of what was asked for, and what a page can show of it."""
    if request.films:
        films, made = film_sounds(pipeline, request.selection, sampling, report)
        heard = evaluate_films(films, made, threads=threads, report=report)
        return heard.scores, film_items(heard, made)
    clips, takes = window_sounds(pipeline, request.selection, request.seeds, sampling, report)
    first, again = [sounds[0] for sounds in takes], [sounds[1:] for sounds in takes]
    evaluation = evaluate(clips, first, again=again, threads=threads, report=report)
    return evaluation.scores, clip_items(evaluation, first)


if __name__ == "__main__":
    main()
