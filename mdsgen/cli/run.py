"""``mdsgen-run``: give videos their sound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdsgen.cli.batch import batch_options, open_batch, take_crew, without_existing
from mdsgen.cli.jobs import plan_jobs, wanted_output
from mdsgen.cli.live import live_options, play, refuse_for_live, say_rounded, sink_of, take_live
from mdsgen.cli.options import bfloat16_option, bundle_option, engine_option, finite, say_idle, threads_option
from mdsgen.cli.origin import origin
from mdsgen.cli.progress import progress_of
from mdsgen.cli.reporting import quiet_option, reporting
from mdsgen.cli.sampling import sampling_options, take_sampling
from mdsgen.command import command
from mdsgen.errors import MdsgenError, MediaError
from mdsgen.media import FORMATS
from mdsgen.media.names import RAW
from mdsgen.report import Report
from mdsgen.runtime.job import Job, Rendering

if TYPE_CHECKING:
    from mdsgen.runtime import Rendered
    from mdsgen.runtime.batch import Batch, Outcome


@command("mdsgen-run", short_help="Give videos their sound.")
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help=f"A file ({', '.join(FORMATS)}), or a folder: one that is there, a name that ends in /, or any name where "
    "there are several videos; for a live source - or a sound card, too.  [default: VIDEO.mdsgen.mp4, beside each "
    "video; alsa:default]",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice([*(suffix[1:] for suffix in FORMATS), RAW]),
    help="Format of results that --output does not name.  [default: mp4, or the video's own or mkv where mp4 cannot "
    "hold the pictures; of live sound to a pipe wav, or raw: 16-bit samples at 16 kHz alone]",
)
@bundle_option
@engine_option()
@click.option("--provider", multiple=True, help="An ONNX Runtime execution provider; repeat it in order of preference.")
@threads_option
@bfloat16_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another sound.")
@sampling_options
@click.option("--start", type=click.FloatRange(0), default=0.0, callback=finite, help="Second where sound begins.")
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    help="Seconds of sound.  [default: to the end]",
)
@click.option(
    "--mix",
    type=click.FloatRange(0, 1),
    default=0.0,
    callback=finite,
    help="Share of the original sound, from 0 (none) to 1 (nothing else); its rate and channels are kept.",
)
@click.option("--keep-original", is_flag=True, help="Keep the original sound, and add the new one as a second track.")
@live_options
@batch_options
@click.option("--recursive", is_flag=True, help="Of a folder, take the videos in the folders below it, too.")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    videos: tuple[Path, ...],
    output: str | None,
    suffix: str | None,
    bundle: str | Path | None,
    engine: str,
    provider: tuple[str, ...],
    threads: int | None,
    bfloat16: bool,
    mix: float,
    keep_original: bool,
    recursive: bool,
    skip_existing: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Generate the sound of VIDEOS (files, or folders of them) and write them with it.

    Of a source without an end, which is a camera such as /dev/video0, an address such as rtsp://…, or - for a pipe, the
    sound is played as it comes, until Ctrl-C.
    """
    live, changes, crew = take_live(settings), take_sampling(settings), take_crew(settings)
    providers = provider or ("CPUExecutionProvider",)
    options: dict[str, Any] = {"engine": engine, "threads": threads, "providers": providers, "bfloat16": bfloat16}
    if live.is_live(videos):
        refuse_for_live(start=settings["start"], mix=mix, keep_original=keep_original, recursive=recursive)
        refuse_for_live(**vars(crew), skip_existing=skip_existing, as_json=as_json)
        target = sink_of(output, suffix)
        from mdsgen.runtime import Pipeline  # --help does without the engines

        with Pipeline.open(bundle, **options) as pipeline:
            sound = pipeline.live(block=live.block, lookahead=live.lookahead, seed=settings["seed"], **changes)
            say_rounded(sound, live)
            play(sound, videos[0], target, suffix, settings["duration"])
        return
    say_idle(("block", "lookahead"), without="live")
    wanted = wanted_output(mix, keep_original, suffix)
    jobs, folder = plan_jobs(videos, output, wanted, recursive)
    jobs, skipped = without_existing(jobs) if skip_existing else (jobs, [])
    with reporting(quiet) as report:
        if skipped:
            report(f"{len(skipped)} of {len(jobs) + len(skipped)} videos have their results already")
        if not jobs and not as_json:
            return
        with open_batch(crew, len(jobs), bundle, **options) as batch:
            how = Rendering(batch.bundle.sampling.changed(**changes), output=wanted, **settings)
            if folder is not None:
                _make_folder(folder)
            results, failures = _render(batch, jobs, how, report, quiet, not as_json and not quiet)
            if as_json:
                from mdsgen.media import streams_of  # with PyAV, which --help does without

                asked = {"threads": threads, "bfloat16": bfloat16, "mix": mix, "keep_original": keep_original}
                document = {
                    **origin(batch, how.sampling, {**settings, **asked}),
                    "results": [{**rendered.to_dict(), "streams": streams_of(rendered.target)} for rendered in results],
                    "failures": [{"source": str(job.source), "error": str(error)} for job, error in failures],
                    "skipped": [str(target) for target in skipped],
                }
                click.echo(json.dumps(document, indent=2))
    if failures:
        raise failures[0][1] if len(jobs) == 1 else MdsgenError(f"{len(failures)} of {len(jobs)} videos failed")


def _render(
    batch: Batch, jobs: Sequence[Job], how: Rendering, report: Report, quiet: bool, with_lines: bool
) -> tuple[list[Rendered], list[tuple[Job, MdsgenError]]]:
    """Render all of them, and say what becomes of each as it is done; results and failures in the order of the jobs."""
    outcomes: dict[Job, Outcome] = {}
    with progress_of(len(jobs), report, quiet) as progress:
        for job, outcome in batch.render(jobs, how, progress.advance):
            outcomes[job] = outcome
            progress.end(job)
            if isinstance(outcome, MdsgenError):
                if len(jobs) > 1:
                    click.echo(f"error: {outcome}", err=True)
                continue
            for note in outcome.notes:
                report(f"note: {note}")
            if with_lines:
                click.echo(_line(outcome))
    in_order = [(job, outcomes[job]) for job in jobs]
    results = [outcome for _, outcome in in_order if not isinstance(outcome, MdsgenError)]
    return results, [(job, outcome) for job, outcome in in_order if isinstance(outcome, MdsgenError)]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {folder}: {error.strerror}") from error


def _line(rendered: Rendered) -> str:
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in rendered.timings.items())
    return (
        f"{rendered.target}: {rendered.seconds:.3f} s of sound in {rendered.total:.2f} s "
        f"(real-time factor {rendered.real_time_factor:.2f}; seconds: {stages})"
    )


if __name__ == "__main__":
    main()
