"""``mdsgen-bench``: how long a bundle takes, what of the machine it uses, and how it compares with other ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from mdsgen.bench.backends import KINDS, Entry, first_bundle, parse
from mdsgen.bench.clip import time_clip
from mdsgen.bench.comparison import STEP, Task, compare
from mdsgen.bench.process import Command, sampling_arguments
from mdsgen.bench.report import Report
from mdsgen.bench.subject import Subject
from mdsgen.bundle import Bundle, default_bundle
from mdsgen.cli.export import MODEL_SIZES
from mdsgen.cli.options import PLACE, THREADS, bfloat16_option, engine_option, in_a_folder
from mdsgen.cli.reporting import quiet_option, reporting
from mdsgen.cli.sampling import STEPS, sampling_options
from mdsgen.command import command
from mdsgen.conditions import usable_cores
from mdsgen.engines import ENGINES
from mdsgen.errors import MdsgenError, writing
from mdsgen.files import write_whole
from mdsgen.geometry import GEOMETRIES

_TASKS = {"step": 10, "loop": 5, "clip": 3}
"""What can be compared, and how often it is timed unless told."""

_CLIPS, _WARMUP = 3, 2


def _backends(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[Entry] | None:
    """A click callback: ``A,B,C`` as what is compared."""
    try:
        return None if value is None else parse(value)
    except MdsgenError as error:
        raise click.BadParameter(str(error)) from error


@command("mdsgen-bench", short_help="Time a bundle, or engines against each other.")
@click.option(
    "--bundle",
    type=PLACE,
    help="The bundle.  [default: $MDSGEN_BUNDLE, or the demo model; with torch, seeded weights]",
)
@click.option(
    "--compare",
    metavar="A,B,…",
    callback=_backends,
    help=f"Time these in turn instead, ratios against the first: {', '.join(KINDS)}; NAME@BUNDLE runs another bundle. "
    "A single one is compared with --engine.",
)
@click.option("--of", "task", type=click.Choice(list(_TASKS)), help="What to compare.  [default: step]")
@click.option("--torch-steps", type=STEPS, help="Steps of PyTorch's clip.  [default: 50, as published]")
@click.option(
    "--geometry",
    "geometry_name",
    type=click.Choice(sorted(GEOMETRIES)),
    help="Compare seeded weights of this latent geometry.  [default: release]",
)
@click.option("--model", type=click.Choice(MODEL_SIZES), help="And of this size.  [default: base]")
@engine_option(KINDS)
@click.option("--threads", type=THREADS, help="Threads, of all that is compared.  [default: cores]")
@bfloat16_option
@sampling_options
@click.option("--repeat", type=click.IntRange(1), help="Timed runs.  [default: 3 clips; 10 steps, 5 loops compared]")
@click.option(
    "--warmup", type=click.IntRange(0), help="Runs before them, not timed.  [default: 2; 0 of loops and clips on a CPU]"
)
@click.option("--peak/--no-peak", default=True, show_default=True, help="Measure the machine's matrix peak as well.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=in_a_folder,
    help="Write a bar chart to this .svg file.",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    bundle: str | Path | None,
    compare: list[Entry] | None,
    task: str | None,
    torch_steps: int | None,
    geometry_name: str | None,
    model: str | None,
    engine: str,
    threads: int | None,
    bfloat16: bool,
    repeat: int | None,
    warmup: int | None,
    peak: bool,
    plot: Path | None,
    quiet: bool,
    as_json: bool,
    **changes: Any,
) -> None:
    """Time every stage of a bundle on random pictures, then the command in a process of its own.

    With --compare: one denoiser step, loop or clip, computed in several ways in turn. PyTorch computes seeded weights:
    those of --geometry and --model, or of a bundle that was exported with --untrained.
    """
    seeded = (geometry_name or "release", model or "base") if geometry_name or model else None
    _check(compare, task, bundle, seeded, changes, engine=engine, bfloat16=bfloat16, torch_steps=torch_steps)
    if plot:
        _check_plot(plot)
    if compare is None:
        opened = Bundle.open(bundle or default_bundle())
        run = Command(opened, engine, threads, bfloat16, sampling_arguments(changes))
        warmup = _WARMUP if warmup is None else warmup
        sampling = opened.sampling.changed(**changes)
        with reporting(quiet) as progress:
            report = time_clip(run, sampling, repeat=repeat or _CLIPS, warmup=warmup, peak=peak, progress=progress)
    else:
        entries = compare if len(compare) > 1 else [*compare, Entry(engine)]
        with _subject(entries, bundle, seeded) as subject, reporting(quiet) as progress:
            job = Task.named(task or STEP, subject.sampling.changed(**changes), torch_steps)
            report = _compare(
                entries, subject, job, threads, repeat=repeat, warmup=warmup, peak=peak, progress=progress
            )
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.page())
    if plot:
        with writing(plot, MdsgenError):
            write_whole(plot, report.chart())


def _check_plot(plot: Path) -> None:
    """Raise, before all the timing, where no chart can be written to the file, whose folder is there."""
    if plot.suffix.lower() != ".svg":
        raise click.UsageError(f"--plot writes SVG: name a file that ends in .svg, not {plot}")
    with writing(plot, MdsgenError), TemporaryFile(dir=plot.resolve().parent):
        pass


def _check(
    compare: list[Entry] | None,
    task: str | None,
    bundle: str | Path | None,
    seeded: tuple[str, str] | None,
    changes: dict[str, Any],
    *,
    engine: str,
    bfloat16: bool,
    torch_steps: int | None,
) -> None:
    """Raise a usage error for options that do not go together."""
    if compare is None:
        if engine not in ENGINES:
            raise click.UsageError(f"--engine {engine} is for --compare: expected one of {', '.join(ENGINES)}")
        if seeded or task or torch_steps:
            raise click.UsageError("--geometry, --model, --of and --torch-steps are for --compare")
        return
    if seeded and bundle:
        raise click.UsageError("--geometry and --model are for --compare without a --bundle, which has its own")
    if bfloat16:
        raise click.UsageError("--bfloat16 is for one bundle alone: compare openvino-bf16")
    if len(compare) > 1 and engine != "auto":
        raise click.UsageError(f"--engine is for one bundle alone: add {engine} to --compare")
    if len(compare) == 1 and str(compare[0]) == engine:
        raise click.UsageError(f"--compare {engine} needs another name: it would be compared with itself")
    if task in (None, "step") and any(value is not None for value in changes.values()):
        raise click.UsageError("how a clip is sampled is for clips and loops: a step is compared")
    if torch_steps and task != "clip":
        raise click.UsageError("--torch-steps is for --of clip: a loop has as many steps on all sides")


def _subject(entries: list[Entry], bundle: str | Path | None, seeded: tuple[str, str] | None) -> Subject:
    """What names without a bundle of their own are run on: the one named, or the default one.

    PyTorch has no bundle: next to it that is the first bundle in the list, or where there is none seeded weights.
    """
    in_torch = any(not entry.kind.graphs for entry in entries)
    all_named = all(entry.bundle for entry in entries)
    named = bundle or (first_bundle(entries) if not seeded and (in_torch or all_named) else None)
    if named is None and (seeded or in_torch):
        return Subject(None, *(seeded or ("release", "base")))
    return Subject(Bundle.open(named or default_bundle()))


def _compare(
    entries: list[Entry],
    subject: Subject,
    task: Task,
    threads: int | None,
    *,
    repeat: int | None,
    warmup: int | None,
    peak: bool,
    progress: Callable[[str], None],
) -> Report:
    if warmup is None:
        on_device = any(entry.kind.device for entry in entries)  # where the first run compiles, tunes or captures
        warmup = _WARMUP if task.of == STEP or on_device else 0
    return compare(
        entries,
        subject,
        task,
        threads or usable_cores(),
        repeat=repeat or _TASKS[task.of],
        warmup=warmup,
        peak=peak,
        progress=progress,
    )


if __name__ == "__main__":
    main()
