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
from mdsgen.errors import SettingsError
from mdsgen.evaluation.held_out import Clip
from mdsgen.evaluation.judge import fitted
from mdsgen.experiments.setup import Setup, setup_options
from mdsgen.experiments.variants import compare_variants
from mdsgen.media import prepare_frames
from mdsgen.report import Report, silent
from mdsgen.runtime import Networks, WindowGenerator, seeded_noise
from mdsgen.runtime.solver import passes_of, plan_steps, timesteps_of
from mdsgen.sampling import PRESETS, SOLVERS, Sampling
from mdsgen.table import markdown

REFERENCE = "reference"
"""The preset ``best``: 50 steps of DPM-Solver++ 2M with both branches in each, which is the published way; of a
distilled denoiser the most steps that it was trained for."""

_STEPS, _FEW_STEPS = (6, 8, 12, 16, 25), (2, 3, 4, 6, 8)  # of a guided denoiser, and of a distilled one
_say = partial(click.echo, err=True)


def presets(sampling: Sampling) -> dict[str, Sampling]:
    """The table as it stands."""
    return {quality: sampling.changed(quality=quality) for quality in PRESETS}


def solvers(sampling: Sampling) -> dict[str, Sampling]:
    """Every solver of a higher order at every number of steps."""
    numbers = _STEPS if sampling.distilled is None else _FEW_STEPS
    return {
        f"{solver}, {steps} steps": sampling.changed(solver=solver, steps=steps)
        for solver in SOLVERS[1:]
        for steps in numbers
    }


def savings(sampling: Sampling) -> dict[str, Sampling]:
    """Guidance in intervals, and an unconditional branch that is kept, at 8, 12 and 16 steps of UniPC 2.

    Raises :class:`SettingsError` for a distilled denoiser, whose steps have no second branch to save.
    """
    if sampling.distilled is not None:
        raise SettingsError("there is nothing to save: this denoiser is distilled, and has one branch in every step")
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
    setup: Setup,
    report: Report = silent,
) -> dict[str, dict[str, Any]]:
    """Figures per setting, the reference first: each clip is encoded once, and sampled from one noise with all of them.

    ``passes`` is how often the denoiser looked at a latent; the others are those of
    :func:`~mdsgen.experiments.variants.compare_variants`.
    """
    tried = {REFERENCE: bundle.sampling.changed(quality="best"), **settings}
    with Networks(bundle, setup.engine, setup.engine_options) as networks:
        figures = compare_variants(
            list(tried), lambda clip: _sounds(networks, clip, list(tried.values())), setup, report
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
@setup_options
@click.option(
    "--grid", type=click.Choice(sorted(GRIDS)), default="presets", show_default=True, help="The settings to compare."
)
def main(
    bundle: Path | None, grid: str, clips: int, seed: int, engine: str, threads: int | None, as_json: bool
) -> None:
    """Sample held-out scenes with many settings and judge each: what does less work do to the sound?"""
    setup = Setup(clips, seed, engine, threads)
    opened = Bundle.open(bundle or default_bundle())
    settings = GRIDS[grid](opened.sampling)
    rows = compare_settings(opened, settings, setup, _say)
    click.echo(json.dumps(rows, indent=2) if as_json else table(rows))


if __name__ == "__main__":
    main()
