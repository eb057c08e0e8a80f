"""What less work does to the sound: settings of the sampler side by side, on the same held-out scenes and noise.

``python -m mdsgen.experiments.presets`` prints the table that presets are to be chosen from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from mdsgen.bundle import Bundle, default_bundle
from mdsgen.command import command
from mdsgen.engines import ENGINES, EngineOptions
from mdsgen.evaluation.held_out import HELD_OUT, Clip, check_held_out
from mdsgen.evaluation.judge import fitted
from mdsgen.experiments.variants import compare_variants
from mdsgen.media import prepare_frames
from mdsgen.report import Report
from mdsgen.runtime import Networks, WindowGenerator, seeded_noise
from mdsgen.runtime.solver import passes_of, plan_steps, timesteps_of
from mdsgen.sampling import PRESETS, SOLVERS, Sampling
from mdsgen.table import markdown

REFERENCE = "reference"
"""The published way: 50 steps of DPM-Solver++ 2M, both branches in every one of them."""

_STEPS = (6, 8, 12, 16, 25)
_say = partial(click.echo, err=True)


def presets(sampling: Sampling) -> dict[str, Sampling]:
    """The table as it stands."""
    return {quality: sampling.changed(quality=quality) for quality in PRESETS}


def solvers(sampling: Sampling) -> dict[str, Sampling]:
    """Every solver of a higher order at every number of steps."""
    return {
        f"{solver}, {steps} steps": sampling.changed(solver=solver, steps=steps)
        for solver in SOLVERS[1:]
        for steps in _STEPS
    }


def savings(sampling: Sampling) -> dict[str, Sampling]:
    """Guidance in intervals, and an unconditional branch that is kept, at 8, 12 and 16 steps of UniPC 2."""
    found = {}
    for steps in (8, 12, 16):
        unipc = sampling.changed(solver="unipc-2", steps=steps)
        found[f"{steps} steps"] = unipc
        for low, high in ((0.0, 900.0), (0.0, 700.0), (200.0, 1000.0), (400.0, 1000.0), (200.0, 900.0)):
            found[f"{steps} steps, guided {low:g} to {high:g}"] = unipc.changed(guidance_interval=(low, high))
        for every in (2, 3, 4):
            found[f"{steps} steps, unconditional every {every}"] = unipc.changed(unconditional_every=every)
    return found


GRIDS = {"presets": presets, "solvers": solvers, "savings": savings}


def compare_settings(
    bundle: Bundle,
    settings: Mapping[str, Sampling],
    *,
    clips: int,
    first_seed: int = 0,
    engine: str = "auto",
    threads: int | None = None,
    report: Report = lambda line: None,
) -> dict[str, dict[str, Any]]:
    """Figures per setting, the reference first: each clip is encoded once, and sampled from one noise with all of them.

    ``passes`` is how often the denoiser looked at a latent; the others are those of
    :func:`~mdsgen.experiments.variants.compare_variants`.
    """
    tried = {REFERENCE: bundle.sampling.changed(quality="best"), **settings}
    with Networks(bundle, engine, EngineOptions(threads)) as networks:
        figures = compare_variants(
            list(tried),
            lambda clip: _sounds(networks, clip, list(tried.values())),
            clips=clips,
            first_seed=first_seed,
            threads=threads,
            report=report,
        )
    passes = {name: passes_of(plan_steps(chosen, bundle.manifest.schedule)) for name, chosen in tried.items()}
    return {
        name: {"passes": passes[name], **figures[name], "settings": chosen.to_dict()} for name, chosen in tried.items()
    }


def _sounds(networks: Networks, clip: Clip, settings: Sequence[Sampling]) -> Iterator[np.ndarray]:
    geometry = networks.geometry
    features = networks.encode(prepare_frames(clip.frames(geometry), geometry.frame_size))  # [1, F, 512]
    for chosen in settings:
        modulations = networks.condition(
            features, timesteps_of(plan_steps(chosen, networks.schedule))
        )  # [steps, 2, V, D]
        latent = WindowGenerator(networks, chosen).denoise(seeded_noise(geometry, clip.scene.seed), modulations)
        yield fitted(np.clip(networks.vocode(networks.decode(latent))[0], -1.0, 1.0))


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as Markdown."""
    return markdown(_table(rows))


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    yield "setting", "passes", "mel error dB", "aligned", "kind", "onset F1", "Fréchet"
    for name, row in rows.items():
        yield (
            name,
            str(row["passes"]),
            f"{row['mel_error_db']:.2f}",
            *(f"{100 * row[share]:.1f} %" for share in ("aligned", "kind")),
            "" if row["onset_f1"] is None else f"{row['onset_f1']:.3f}",
            f"{row['frechet']:.2f}",
        )


@command("python -m mdsgen.experiments.presets")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A bundle that mdsgen-export made.  [default: $MDSGEN_BUNDLE, or the demo model]",
)
@click.option(
    "--grid", type=click.Choice(sorted(GRIDS)), default="presets", show_default=True, help="The settings to compare."
)
@click.option("--clips", type=click.IntRange(2, HELD_OUT), default=60, show_default=True, help="Scenes to judge.")
@click.option("--seed", type=click.IntRange(0, HELD_OUT - 1), default=0, show_default=True, help="The first scene.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="What runs the networks.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the engine.  [default: one per physical core]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
def main(
    bundle: Path | None, grid: str, clips: int, seed: int, engine: str, threads: int | None, as_json: bool
) -> None:
    """Sample held-out scenes with many settings and judge each: what does less work do to the sound?"""
    check_held_out(clips, seed)
    opened = Bundle.open(bundle or default_bundle())
    settings = GRIDS[grid](opened.sampling)
    rows = compare_settings(opened, settings, clips=clips, first_seed=seed, engine=engine, threads=threads, report=_say)
    click.echo(json.dumps(rows, indent=2) if as_json else table(rows))


if __name__ == "__main__":
    main()
