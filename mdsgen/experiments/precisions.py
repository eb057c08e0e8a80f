"""What a narrower data type does to the sound: a bundle in several precisions, on the same held-out scenes and noise.

``python -m mdsgen.experiments.precisions`` makes them, judges them, and writes the tables of ``docs/precision.md``.
Making them needs ONNX; judging does not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from mdsgen.bundle import (
    DENOISER,
    Bundle,
    Manifest,
    check_target,
    default_bundle,
    write_manifest,
)
from mdsgen.command import command
from mdsgen.conditions import conditions
from mdsgen.errors import ExportError
from mdsgen.evaluation.held_out import Clip
from mdsgen.evaluation.judge import fitted
from mdsgen.experiments.marked_page import MarkedPage
from mdsgen.experiments.precision_tables import tables
from mdsgen.experiments.setup import Setup, setup_options
from mdsgen.experiments.variants import compare_variants
from mdsgen.files import hidden_folder
from mdsgen.geometry import FEATURE_CHANNELS
from mdsgen.precision import PRECISIONS
from mdsgen.report import Report, silent
from mdsgen.runtime import Networks, Timings, WindowGenerator, seeded_noise
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.timing import Measurement, side_by_side

COMPARED = tuple(PRECISIONS)[1:]
"""What is compared where nobody says otherwise; the source's own precision is there anyway, as the reference."""

_TIMED, _WARMUP = 25, 3
_say = partial(click.echo, err=True)
_LEAD = 2  # a step is one of many: the denoiser before it was the same one


@dataclass(frozen=True)
class Judged:
    """A bundle beside the reference: what it says of itself, what was heard of it, and how long a step takes."""

    manifest: Manifest
    engine: str
    figures: Mapping[str, Any]
    step: Measurement

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: bytes, decibels (null where equal to the last bit) and seconds."""
        calibration = self.manifest.provenance.get("calibration")
        return {
            "bytes": sum(part.bytes for part in self.manifest.files),
            "denoiser_bytes": sum(part.bytes for part in self.manifest.graphs[DENOISER].files),
            "parity": [figure.to_dict() for figure in self.manifest.parity],
            "figures": dict(self.figures),
            "engine": self.engine,
            "step": self.step.to_dict(),
            **({"calibration": calibration} if calibration else {}),
        }


def make_bundles(source: Bundle, folder: Path, precisions: Sequence[str], report: Report = silent) -> dict[str, Bundle]:
    """``source`` in these precisions, each in a folder of its name, as ``mdsgen-export`` makes them."""
    try:
        from mdsgen.export import ExportOptions, convert_bundle, verification_frames
    except ImportError as error:
        raise ExportError(f"making other precisions needs ONNX ({error}): pip install 'mdsgen[convert]'") from error
    frames = verification_frames(source.manifest.geometry)
    return {
        precision: convert_bundle(source, folder / precision, ExportOptions(precision), frames=frames, report=report)
        for precision in precisions
    }


def compare_bundles(bundles: Mapping[str, Bundle], setup: Setup, report: Report = silent) -> dict[str, Judged]:
    """Judge bundles of one model: the first one is the reference, and its sampling that of all.

    Each clip goes through all bundles, wholly, from one noise, before the next one; the figures are those of
    :func:`~mdsgen.experiments.variants.compare_variants`.
    """
    first = next(iter(bundles.values()))
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(Networks(bundle, setup.engine, setup.engine_options))
            for name, bundle in bundles.items()
        }
        report("timing the denoiser's step")
        steps = _time_steps(opened, timesteps_of(plan_steps(first.sampling, first.manifest.schedule)))
        generators = [(networks, WindowGenerator(networks, first.sampling)) for networks in opened.values()]
        figures = compare_variants(list(opened), partial(_sounds, generators), setup, report)
        return {
            name: Judged(bundle.manifest, opened[name].engine, figures[name], steps[name])
            for name, bundle in bundles.items()
        }


def keep_figures(bundle: Bundle, judged: Judged, reference: Judged, settings: Mapping[str, Any]) -> None:
    """Write into the bundle's manifest what was heard of it, and of the reference beside it."""
    evaluation = {
        **settings,
        "engine": judged.engine,
        "figures": dict(judged.figures),
        "reference": {"precision": reference.manifest.precision, "figures": dict(reference.figures)},
    }
    manifest = bundle.manifest
    write_manifest(bundle.folder, replace(manifest, provenance={**manifest.provenance, "evaluation": evaluation}))


def _time_steps(opened: Mapping[str, Networks], timesteps: np.ndarray) -> dict[str, Measurement]:
    """All branches at once, in turn with all denoisers on the same input."""
    reference = next(iter(opened.values()))
    shape = (1, reference.geometry.video_features, FEATURE_CHANNELS)
    features = np.random.default_rng(0).standard_normal(shape, np.float32) / np.float32(FEATURE_CHANNELS**0.5)
    modulations = reference.condition(features, timesteps)[0]  # [2, V, D]
    latent = seeded_noise(reference.geometry, 0)  # [1, C, H, W]
    runs: dict[str, Callable[[], object]] = {
        name: partial(networks.denoise if networks.branches > 1 else networks.denoise_conditional, latent, modulations)
        for name, networks in opened.items()
    }
    return side_by_side(runs, _TIMED, _WARMUP, _LEAD)


def _sounds(generators: Sequence[tuple[Networks, WindowGenerator]], clip: Clip) -> Iterator[np.ndarray]:
    geometry = generators[0][0].geometry  # that of all: they are one model
    frames, noise = clip.frames(geometry), seeded_noise(geometry, clip.scene.seed)  # noise [1, C, H, W]
    for _, generate in generators:
        waveform = generate(frames, noise, Timings())  # [samples]
        yield fitted(np.clip(waveform, -1.0, 1.0))


def _chosen(context: click.Context, option: click.Parameter, words: str) -> tuple[str, ...]:
    """The precisions of a list with commas, each once."""
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",")))
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is unknown: expected some of {', '.join(PRECISIONS)}")
    return names


@command("python -m mdsgen.experiments.precisions")
@setup_options
@click.option(
    "--precisions",
    default=",".join(COMPARED),
    callback=_chosen,
    show_default=True,
    help="What to make of it; its own precision is left out.",
)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the bundles in this folder, with the figures in them."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Also put the tables between the marks of this page."
)
def main(
    bundle: Path | None,
    precisions: tuple[str, ...],
    clips: int,
    seed: int,
    engine: str,
    threads: int | None,
    keep: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Make a bundle's other precisions, judge all of them on held-out scenes, and time the denoiser's step.

    Every figure stands beside that of the bundle itself, which is of fp32 or fp16-weights: it computes in FP32.
    """
    setup = Setup(clips, seed, engine, threads)
    source = Bundle.open(bundle or default_bundle())
    others = [precision for precision in precisions if precision != source.manifest.precision]
    if not others:
        raise click.UsageError(f"{source.folder} is in {precisions[0]} itself: name another one to compare it with")
    page, machine = MarkedPage(output) if output else None, conditions()
    settings = {"clips": clips, "seed": seed, **source.sampling.to_dict()}
    with _folder(keep, others) as folder:  # of what goes wrong nothing is kept: it can be repeated
        made = make_bundles(source, folder, others, _say)
        bundles = {source.manifest.precision: source, **made}
        judged = compare_bundles(bundles, setup, _say)
        if keep:
            _keep(made, judged, judged[source.manifest.precision], settings, keep)
    named = {"bundle": source.folder.resolve().name, "engine": engine, "threads": threads, **settings}
    found = {name: each.to_dict() for name, each in judged.items()}
    document = {"settings": named, "conditions": machine, "precisions": found}
    click.echo(json.dumps(document, indent=2) if as_json else tables(document))
    if page:
        page.write(tables(document))


def _keep(
    made: Mapping[str, Bundle],
    judged: Mapping[str, Judged],
    reference: Judged,
    settings: Mapping[str, Any],
    folder: Path,
) -> None:
    for precision, bundle in made.items():
        keep_figures(bundle, judged[precision], reference, settings)
        bundle.folder.rename(folder / precision)


@contextmanager
def _folder(keep: Path | None, precisions: Sequence[str]) -> Iterator[Path]:
    """Where the bundles are made: where they are kept, beside their places, of which each is found free before."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder:
            yield Path(folder)
    else:
        for precision in precisions:
            check_target(keep / precision, replace=False)
        with hidden_folder(keep / precisions[0]) as folder:
            yield folder


if __name__ == "__main__":
    main()
