"""``mdsgen-run``: give videos their sound."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mdsgen.cli.errors import command
from mdsgen.cli.sampling import finite, sampling_options, take_sampling
from mdsgen.engines import ENGINES
from mdsgen.errors import MdsgenError, MediaError
from mdsgen.media import FORMATS, VIDEO_SUFFIXES
from mdsgen.runtime import Pipeline, Progress, Rendered, default_target, render
from mdsgen.runtime.pipeline import OnProgress


@command("mdsgen-run")
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help=f"A file ({', '.join(FORMATS)}) or, for several videos, a folder.  [default: VIDEO.mdsgen.mp4]",
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
    help="Share of the original sound, from 0 (none) to 1 (nothing else).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    videos: tuple[Path, ...],
    output: Path | None,
    bundle: Path | None,
    engine: str,
    provider: tuple[str, ...],
    threads: int | None,
    bfloat16: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Generate the sound of VIDEOS (files, or folders of them) and write them with it."""
    jobs, changes = _jobs(videos, output), take_sampling(settings)
    providers = provider or ("CPUExecutionProvider",)
    results: list[Rendered] = []
    failures: list[dict[str, str]] = []
    with Pipeline.open(bundle, engine, threads=threads, providers=providers, bfloat16=bfloat16) as pipeline:
        sampling = pipeline.bundle.sampling.changed(**changes)
        if output is not None and output not in dict(jobs).values():
            _make_folder(output)
        for source, target in jobs:
            try:
                with _progress_bar(source) as progress:
                    rendered = render(pipeline, source, target, sampling, progress=progress, **settings)
            except MdsgenError as error:
                if len(jobs) == 1:
                    raise
                failures.append({"source": str(source), "error": str(error)})
                click.echo(f"error: {error}", err=True)
                continue
            results.append(rendered)
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
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    if failures:
        raise MdsgenError(f"{len(failures)} of {len(jobs)} videos failed")


def _jobs(videos: Sequence[Path], output: Path | None) -> list[tuple[Path, Path]]:
    """Each source with its target. Raises a usage error where several results would be one file."""
    sources = [source for video in videos for source in _sources(video)]
    single = len(videos) == 1 and not videos[0].is_dir()
    if output is None:
        targets = [default_target(source) for source in sources]
    elif single and not output.is_dir():
        targets = [output]
    elif output.suffix.lower() in FORMATS:
        raise click.UsageError(f"several videos need a folder as --output, not {output}")
    else:
        targets = [default_target(source, output) for source in sources]
    doubles = {str(target) for target in targets if targets.count(target) > 1}
    if doubles:
        raise click.UsageError(f"several videos would become {', '.join(sorted(doubles))}: run them apart")
    jobs = list(zip(sources, targets, strict=True))
    inputs = {source.resolve() for source in sources}
    overwritten = [str(target) for source, target in jobs if target.resolve() in inputs - {source.resolve()}]
    if overwritten:
        raise click.UsageError(f"a result would overwrite the video {', '.join(overwritten)}: name another --output")
    return jobs


def _sources(video: Path) -> list[Path]:
    if not video.is_dir():
        return [video]
    found = sorted(
        path
        for path in video.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES
        and ".mdsgen" not in path.suffixes
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not found:
        raise click.UsageError(f"no videos in {video}: expected files that end in {', '.join(sorted(VIDEO_SUFFIXES))}")
    return found


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
