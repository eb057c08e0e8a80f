"""``mdsgen-train``: from nothing to the weights of a whole model, one command per stage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mdsgen.cli.options import PLACE
from mdsgen.cli.reporting import reporting
from mdsgen.command import Command, Group, wrong_use
from mdsgen.errors import MediaError, TrainingError
from mdsgen.media import read_folder
from mdsgen.training.recipe import BUILT_IN, STAGES, StageEntry, load_recipe

if TYPE_CHECKING:
    from mdsgen.training.clips import Spread

DEFAULT_WORK = Path("build/training")


@click.group("mdsgen-train", cls=Group, short_help="Train a model of your own, stage by stage.")
def main() -> None:
    """Train a model of your own from nothing: run the commands below one after the other.

    Each goes on where it stopped, and the recipe decides everything: networks, data, steps and seeds. Several processes
    or machines train together under torchrun: torchrun --nproc-per-node 2 -m mdsgen.cli.train denoiser
    """


F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    """The options that all commands share."""
    recipe = click.option(
        "--recipe", default=BUILT_IN[0], show_default=True, help=f"{', '.join(BUILT_IN)} or a TOML file of your own."
    )
    work = click.option(
        "--work",
        type=click.Path(path_type=Path),
        default=DEFAULT_WORK,
        show_default=True,
        help="The folder in which datasets, checkpoints and weights have their places.",
    )
    threads = click.option("--threads", type=click.IntRange(1), help="Threads of PyTorch.  [default: one per core]")
    quiet = click.option("--quiet", is_flag=True, help="Say nothing but what went wrong.")
    return recipe(work(threads(quiet(function))))


@main.command("prepare", cls=Command, patience=None)
@click.argument("videos", required=False, type=click.Path(path_type=Path))
@_options
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that prepare clips.")
@click.option(
    "--cluster", metavar="ADDRESS", help="Prepare on a Ray cluster that sees the same paths, as mdsgen-run does."
)
@click.option("--recursive", is_flag=True, help="Take the videos in the folders below VIDEOS, too.")
@click.option("--cavp", type=PLACE, help="Make features with these weights (cavp_epoch66.ckpt).")
@click.option("--audioldm", help="Make latents with these audio networks (cvssp/audioldm-s-full-v2).")
def prepare(
    videos: Path | None,
    recipe: str,
    work: Path,
    threads: int | None,
    workers: int,
    cluster: str | None,
    recursive: bool,
    quiet: bool,
    cavp: str | Path | None,
    audioldm: str | None,
) -> None:
    """Make the clips: from the folder VIDEOS, or rendered as the recipe says.

    With --cavp and --audioldm the published networks make features and latents at once: only the denoiser is left to
    train then. Files that cannot be used are listed in skipped.csv.
    """
    if (cavp is None) != (audioldm is None):
        raise click.UsageError("--cavp and --audioldm belong together")
    if cavp is not None and videos is None:
        raise click.UsageError("--cavp and --audioldm need a folder of VIDEOS")
    _use_torch(threads)
    from mdsgen.training.work import Work, prepare_films, render_scenes

    if cluster is not None:  # others know nothing of the folder that this process is in
        work, videos = work.absolute(), videos and videos.absolute()
        cavp, audioldm = _absolute(cavp), _absolute(audioldm)
    loaded, place = load_recipe(recipe), Work(work)
    with reporting(quiet) as report, _spread(cluster, workers) as spread:
        if videos is None:
            render_scenes(place, loaded, spread=spread, report=report)
        else:
            networks = None if cavp is None or audioldm is None else (cavp, audioldm)
            with wrong_use(MediaError):
                folder = read_folder(videos, recursive=recursive)
            report(folder.summary())
            prepare_films(place, loaded, videos, folder.videos, networks, spread=spread, report=report)


def _absolute(source: str | Path | None) -> str | None:
    """The path of something that is here; a name on the hub as it is."""
    if source is None:
        return None
    return os.path.abspath(source) if os.path.exists(source) else str(source)


@contextmanager
def _spread(cluster: str | None, workers: int) -> Iterator[Spread]:
    """Where clips are prepared: in so many processes here, or on a cluster."""
    from mdsgen.training.clips import in_parallel

    if cluster is None:
        yield partial(in_parallel, workers=workers)
        return
    from mdsgen.cluster import open_tasks

    with open_tasks(cluster) as spread:
        yield spread


@main.command("encode", cls=Command, patience=None)
@_options
def encode(recipe: str, work: Path, threads: int | None, quiet: bool) -> None:
    """Make features and latents of all clips, with the trained video encoder and autoencoder."""
    _use_torch(threads)
    from mdsgen.training.processes import processes
    from mdsgen.training.work import Work, encode_dataset

    with processes() as here, reporting(quiet) as report:
        if here.first:
            encode_dataset(Work(work), load_recipe(recipe), here.device, report)


@main.command("decode", cls=Command, patience=None)
@_options
def decode(recipe: str, work: Path, threads: int | None, quiet: bool) -> None:
    """Make spectrograms as the finished model decodes them, with the trained autoencoder and denoiser."""
    _use_torch(threads)
    from mdsgen.training.processes import processes
    from mdsgen.training.work import Work, decode_dataset

    with processes() as here, reporting(quiet) as report:
        if here.first:
            decode_dataset(Work(work), load_recipe(recipe), here.device, report)


@main.command("fidelity", cls=Command, patience=None)
@_options
@click.option("--scenes", type=click.IntRange(1), default=60, show_default=True, help="How many held-out scenes.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def fidelity(recipe: str, work: Path, threads: int | None, quiet: bool, scenes: int, as_json: bool) -> None:
    """Measure what the trained autoencoder and vocoder make of sound that they have never heard."""
    _use_torch(threads)
    from mdsgen.model.compact_codec import CompactCodec
    from mdsgen.training.fidelity import measure_fidelity
    from mdsgen.training.trained import final_stage, load_autoencoder, load_vocoder
    from mdsgen.training.work import Work

    place, geometry = Work(work), load_recipe(recipe).geometry
    vocoder = load_vocoder(place.stage(final_stage(work, "vocoder")))
    codec = CompactCodec(geometry, load_autoencoder(place.stage("autoencoder")), vocoder)
    with reporting(quiet) as report:
        figures = measure_fidelity(codec, range(scenes), report)
    click.echo(json.dumps(vars(figures)) if as_json else figures.table())


def _beginning(entry: StageEntry) -> Callable[[F], F]:
    """The option that names published weights to begin with, for a stage that may."""
    option = click.option(
        "--checkpoint",
        type=click.Path(path_type=Path),
        help="Begin with a published denoiser (mdsgen_audioldm.pt).  [default: the denoiser trained in --work]",
    )
    return option if entry.from_checkpoint else lambda function: function


def _stage_command(name: str, entry: StageEntry) -> click.Command:
    @click.command(
        entry.verb or name.replace("_", "-"),
        cls=Command,
        patience=None,
        help=f"Train the {name.replace('_', ' ')}: {entry.summary}.",
    )
    @_options
    @_beginning(entry)
    def train(recipe: str, work: Path, threads: int | None, quiet: bool, checkpoint: Path | None = None) -> None:
        _use_torch(threads)
        from mdsgen.training.processes import processes
        from mdsgen.training.work import Work, train_stage

        with processes() as here, reporting(quiet or not here.first) as report:
            weights = train_stage(Work(work), load_recipe(recipe), name, here, report, checkpoint)
            if here.first:
                click.echo(weights)

    return train


def _use_torch(threads: int | None) -> None:
    try:
        import torch
    except ImportError as error:
        raise TrainingError(f"training needs PyTorch ({error}): pip install 'mdsgen[train]'") from error
    if threads is not None:
        torch.set_num_threads(threads)


def _add_stages() -> None:
    """In the order of training: what the others need first, then the encoding, then what needs that."""
    for dataset, made_by in (("clips", "prepare"), ("latents", "encode"), ("decoded", "decode")):
        main.add_command(main.commands.pop(made_by))
        for name, entry in STAGES.items():
            if entry.dataset == dataset:
                main.add_command(_stage_command(name, entry))
    main.add_command(main.commands.pop("fidelity"))


_add_stages()

if __name__ == "__main__":
    main()
