"""``mdsgen-run``: give videos their sound."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from mdsgen.cli.live import live_options, play, refuse_for_live, take_live
from mdsgen.cli.sampling import finite, sampling_options, take_sampling
from mdsgen.command import command
from mdsgen.engines import ENGINES
from mdsgen.errors import MdsgenError, MediaError, SettingsError
from mdsgen.media import FORMATS, Output, choose_suffix, read_folder
from mdsgen.media.endless import RAW
from mdsgen.runtime import Pipeline, Progress, Rendered, default_target, render
from mdsgen.runtime.pipeline import OnProgress


@command("mdsgen-run")
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
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A bundle that mdsgen-export made.  [default: $MDSGEN_BUNDLE, or the demo model]",
)
@click.option("--engine", default="auto", show_default=True, help=f"One of {', '.join(ENGINES)}.")
@click.option("--provider", multiple=True, help="An ONNX Runtime execution provider; repeat it in order of preference.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.  [default: one per physical core]")
@click.option(
    "--bfloat16", is_flag=True, help="Compute in bfloat16 where engine and processor can: faster, less exact."
)
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
@click.option("--recursive", is_flag=True, help="Of a folder, take the videos in the folders below it, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    videos: tuple[Path, ...],
    output: str | None,
    suffix: str | None,
    bundle: Path | None,
    engine: str,
    provider: tuple[str, ...],
    threads: int | None,
    bfloat16: bool,
    mix: float,
    keep_original: bool,
    recursive: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Generate the sound of VIDEOS (files, or folders of them) and write them with it.

    Of a source without an end, which is a camera such as /dev/video0, an address such as rtsp://…, or - for a pipe, the
    sound is played as it comes, until Ctrl-C.
    """
    live, changes = take_live(settings), take_sampling(settings)
    providers = provider or ("CPUExecutionProvider",)
    if live.is_live(videos):
        refuse_for_live(start=settings["start"], mix=mix, keep_original=keep_original, recursive=recursive)
        with Pipeline.open(bundle, engine, threads=threads, providers=providers, bfloat16=bfloat16) as pipeline:
            sound = pipeline.live(block=live.block, lookahead=live.lookahead, seed=settings["seed"], **changes)
            play(sound, videos[0], output, suffix, settings["duration"])
        return
    wanted = _wanted(mix, keep_original, suffix)
    jobs, folder = _jobs(videos, output, wanted, recursive)
    results: list[Rendered] = []
    failures: list[dict[str, str]] = []
    with Pipeline.open(bundle, engine, threads=threads, providers=providers, bfloat16=bfloat16) as pipeline:
        sampling = pipeline.bundle.sampling.changed(**changes)
        if folder is not None:
            _make_folder(folder)
        for job in jobs:
            try:
                with _progress_bar(job.source) as progress:
                    rendered = render(
                        pipeline, job.source, job.target, sampling, output=wanted, progress=progress, **settings
                    )
            except MdsgenError as error:
                if len(jobs) == 1:
                    raise
                failures.append({"source": str(job.source), "error": str(error)})
                click.echo(f"error: {error}", err=True)
                continue
            rendered = replace(rendered, notes=(*job.notes, *rendered.notes))
            results.append(rendered)
            for note in rendered.notes:
                click.echo(f"note: {note}", err=True)
            if not as_json:
                click.echo(_line(rendered))
        if as_json:
            document = {
                "bundle": str(pipeline.bundle.folder),
                "engine": pipeline.engine,
                "providers": pipeline.providers,
                "results": [rendered.to_dict() for rendered in results],
                "failures": failures,
            }
            click.echo(json.dumps(document, indent=2))
    if failures:
        raise MdsgenError(f"{len(failures)} of {len(jobs)} videos failed")


@dataclass(frozen=True)
class _Job:
    """One video, where its result goes, and why it goes there."""

    source: Path
    target: Path
    notes: tuple[str, ...] = ()


def _wanted(mix: float, keep_original: bool, suffix: str | None) -> Output:
    try:
        return Output(mix, keep_original, f".{suffix}" if suffix else None)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def _jobs(
    videos: Sequence[Path], output: str | None, wanted: Output, recursive: bool
) -> tuple[list[_Job], Path | None]:
    """Each video with its target, and the folder of all targets where that has to be there.

    Raises a usage error where several results would be one file, or one would overwrite a video.
    """
    sources = [source for video in videos for source in _sources(video, recursive)]
    single = len(videos) == 1 and not videos[0].is_dir()
    folder = None
    if output is not None and single and not _is_folder(output):
        jobs = [_named(sources[0], Path(output), wanted)]
    elif output is not None and Path(output).suffix.lower() in FORMATS and not _is_folder(output):
        raise click.UsageError(f"several videos need a folder as --output, not {output}")
    else:
        folder = None if output is None else Path(output)
        jobs = [_unnamed(source, folder, wanted) for source in sources]
    _check_targets(jobs)
    return jobs, folder


def _is_folder(output: str) -> bool:
    return output.endswith(tuple(mark for mark in (os.sep, os.altsep) if mark)) or os.path.isdir(output)


def _named(source: Path, target: Path, wanted: Output) -> _Job:
    if wanted.format is not None and target.suffix.lower() != wanted.format:
        raise click.UsageError(f"--format {wanted.format[1:]} and --output {target} are not the same format")
    try:
        wanted.check(target)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    return _Job(source, target)


def _unnamed(source: Path, folder: Path | None, wanted: Output) -> _Job:
    suffix, reason = choose_suffix(source, wanted)
    target = default_target(source, folder, suffix)
    return _Job(source, target, () if reason is None else (f"{target} is {reason}",))


def _check_targets(jobs: Sequence[_Job]) -> None:
    targets = Counter(str(job.target) for job in jobs)
    doubles = sorted(target for target, count in targets.items() if count > 1)
    if doubles:
        raise click.UsageError(f"several videos would become {', '.join(doubles)}: run them apart")
    inputs = {job.source.resolve() for job in jobs}
    overwritten = [str(job.target) for job in jobs if job.target.resolve() in inputs - {job.source.resolve()}]
    if overwritten:
        raise click.UsageError(f"a result would overwrite the video {', '.join(overwritten)}: name another --output")


def _sources(video: Path, recursive: bool) -> tuple[Path, ...]:
    """A file itself, or the videos of a folder; what is left out of it is counted on stderr."""
    if not video.is_dir():
        return (video,)
    try:
        folder = read_folder(video, recursive=recursive)
    except MediaError as error:
        raise click.UsageError(str(error)) from error
    if folder.left_out:
        click.echo(folder.summary(), err=True)
    return folder.videos


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def _progress_bar(source: Path) -> Iterator[OnProgress | None]:
    """A bar on stderr where a person is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label=os.path.basename(source), file=sys.stderr, show_pos=False) as bar:

        def update(progress: Progress) -> None:
            bar.update(round(1000 * progress.fraction) - bar.pos)

        yield update


def _line(rendered: Rendered) -> str:
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in rendered.timings.items())
    return (
        f"{rendered.target}: {rendered.seconds:.3f} s of sound in {rendered.total:.2f} s "
        f"(real-time factor {rendered.real_time_factor:.2f}; seconds: {stages})"
    )


if __name__ == "__main__":
    main()
