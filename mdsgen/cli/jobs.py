"""What ``mdsgen-run`` is to do: which videos, and where the result of each goes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from mdsgen.command import wrong_use
from mdsgen.errors import MediaError
from mdsgen.media import FORMATS, Output, read_folder
from mdsgen.media.formats import format_of
from mdsgen.media.names import PIPE, RAW, as_given, is_foreign
from mdsgen.media.target import check_target
from mdsgen.runtime.job import Job


def wanted_output(mix: float, keep_original: bool, suffix: str | None) -> Output:
    if suffix == RAW:
        raise click.UsageError(f"--format {RAW} is for live sound to a pipe")
    return Output(mix, keep_original, f".{suffix}" if suffix else None)


def plan_jobs(
    videos: Sequence[Path], output: str | None, wanted: Output, recursive: bool
) -> tuple[list[Job], Path | None]:
    """Each video with its target, and the folder of all targets where that has to be there.

    Raises a usage error where several results would be one file, or one would overwrite a video.
    """
    if output == PIPE:
        raise click.UsageError("only live sound goes to a pipe: name a file, or play the video with --live")
    sources = [source for video in videos for source in _sources(video, recursive)]
    single = len(videos) == 1 and not videos[0].is_dir()
    folder = None
    if output is not None and single and not _is_folder(output):
        jobs = [_named(sources[0], Path(output), wanted)]
    elif output is not None and _is_file(output):
        raise click.UsageError(f"several videos need a folder as --output, not {output}")
    else:
        folder = None if output is None else Path(output)
        jobs = [_unnamed(source, folder, wanted) for source in sources]
    _check_targets(jobs)
    return jobs, folder


def _is_folder(output: str) -> bool:
    return output.endswith(tuple(mark for mark in (os.sep, os.altsep) if mark)) or os.path.isdir(output)


def _is_file(output: str) -> bool:
    return not _is_folder(output) and (Path(output).suffix.lower() in FORMATS or os.path.isfile(output))


def _named(source: Path, target: Path, wanted: Output) -> Job:
    if wanted.format is not None and target.suffix.lower() != wanted.format:
        raise click.UsageError(f"--format {wanted.format[1:]} and --output {target} are not the same format")
    with wrong_use(MediaError):
        format_of(target)
        check_target(target, source)
    wanted.check(target)
    return Job(source, target)


def _unnamed(source: Path, folder: Path | None, wanted: Output) -> Job:
    from mdsgen.media import choose_suffix  # opens the video: for whoever names no target
    from mdsgen.runtime import default_target

    suffix, reason = choose_suffix(source, wanted)
    target = default_target(source, folder, suffix)
    return Job(source, target, () if reason is None else (f"{target} is {reason}",))


def _check_targets(jobs: Sequence[Job]) -> None:
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
    if is_foreign(video):
        raise click.UsageError(
            f"{as_given(video)} is no file of this machine, and live sources are rtsp, rtmp, srt, udp, tcp and http"
        )
    if not video.is_dir():
        return (video,)
    with wrong_use(MediaError):
        folder = read_folder(video, recursive=recursive)
    if folder.left_out:
        click.echo(folder.summary(), err=True)
    return folder.videos
