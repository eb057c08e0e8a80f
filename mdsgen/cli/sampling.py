"""The options that say how a clip is sampled, the same in every command."""

from __future__ import annotations

import math
from typing import Any

import click

from mdsgen.cli.options import F, give_options
from mdsgen.sampling import PRESETS, PURE_NOISE, SOLVERS
from mdsgen.schedule import NoiseSchedule


def finite(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """A click callback: refuses infinite numbers and what is none."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


STEPS = click.IntRange(1, NoiseSchedule.train_steps)
"""How many denoising steps there may be."""

_LEVEL = click.FloatRange(0, PURE_NOISE)

_OPTIONS = (
    click.option(
        "--quality",
        type=click.Choice(list(PRESETS)),
        help="How much work sampling is. Options named beside it go before it.  [default: as the bundle says]",
    ),
    click.option("--steps", type=STEPS, help="Denoising steps.  [default: the bundle's]"),
    click.option(
        "--guidance", type=float, callback=finite, help="How closely to follow the picture.  [default: the bundle's]"
    ),
    click.option(
        "--guidance-interval",
        type=(_LEVEL, _LEVEL),
        metavar="LOW HIGH",
        help=f"Guide at these timesteps only, of 0 (clean) to {PURE_NOISE:g} (noise).  [default: the bundle's]",
    ),
    click.option("--solver", type=click.Choice(SOLVERS), help="How to go from step to step.  [default: the bundle's]"),
)


_NAMES = ("quality", "steps", "guidance", "guidance_interval", "solver")


def sampling_options(function: F) -> F:
    """Give a command these options; it takes them by name, as :meth:`~mdsgen.sampling.Sampling.changed` does."""
    return give_options(function, _OPTIONS)


def take_sampling(settings: dict[str, Any]) -> dict[str, Any]:
    """What of a command's settings is about sampling; it is taken out of them."""
    return {name: settings.pop(name) for name in _NAMES}
