"""The options that say how a clip is sampled, the same in every command."""

from __future__ import annotations

import math

import click

from mdsgen.cli.options import F, give_options
from mdsgen.runtime import QUALITIES, SOLVERS
from mdsgen.runtime.guidance import TIMESTEPS


def finite(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """A click callback: refuses infinite numbers and what is none."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


_TIMESTEP = click.FloatRange(0, TIMESTEPS)

_OPTIONS = (
    click.option(
        "--quality",
        type=click.Choice(QUALITIES),
        help="How much work sampling is. Options named beside it go before it.  [default: as the bundle says]",
    ),
    click.option("--steps", type=click.IntRange(1, 1000), help="Denoising steps.  [default: the bundle's]"),
    click.option(
        "--guidance", type=float, callback=finite, help="How closely to follow the picture.  [default: the bundle's]"
    ),
    click.option(
        "--guidance-interval",
        type=(_TIMESTEP, _TIMESTEP),
        metavar="LOW HIGH",
        help=f"Guide at these timesteps only, of 0 (clean) to {TIMESTEPS} (noise).  [default: the bundle's]",
    ),
    click.option("--solver", type=click.Choice(SOLVERS), help="How to go from step to step.  [default: the bundle's]"),
)


def sampling_options(function: F) -> F:
    """Give a command these options; it takes them by name, as :func:`~mdsgen.runtime.sampler_settings` does."""
    return give_options(function, _OPTIONS)
