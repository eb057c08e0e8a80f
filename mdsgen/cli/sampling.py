"""The options that say how a clip is sampled, the same in every command."""

from __future__ import annotations

import os
from typing import Any

import click

from mdsgen.cli.options import finite
from mdsgen.command import F, give_options
from mdsgen.errors import MdsgenError
from mdsgen.sampling import MOST_GUIDANCE, PRESETS, PURE_NOISE, SOLVERS
from mdsgen.schedule import NoiseSchedule

STEPS = click.IntRange(1, NoiseSchedule.train_steps)
"""How many denoising steps there may be."""

_LEVEL = click.FloatRange(0, PURE_NOISE)


class _OfBundle(click.Option):
    """An option whose default is a bundle's: the help says what it is in the one that is used where none is named."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], f"{record[1]}  [default: the bundle's{self._in_default()}]")

    def _in_default(self) -> str:
        from mdsgen.bundle import Bundle, default_bundle  # for the help alone

        try:
            value = getattr(Bundle.open(default_bundle(), verify=False).sampling, str(self.name))
        except MdsgenError:
            return ""
        words = " ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else str(value)
        return f", {words} in {'$MDSGEN_BUNDLE' if os.environ.get('MDSGEN_BUNDLE') else 'the demo model'}"


_OPTIONS = (
    click.option(
        "--quality",
        type=click.Choice(list(PRESETS)),
        help="How much work sampling is: fast takes an eighth of the denoiser passes of best, balanced a quarter; of "
        "a distilled model fast takes the fewest that it was trained for. Options named beside it go before it.  "
        "[default: as the bundle says]",
    ),
    click.option(
        "--steps", cls=_OfBundle, type=STEPS, help="Denoising steps: more take longer, and come closer to the model."
    ),
    click.option(
        "--guidance",
        cls=_OfBundle,
        type=click.FloatRange(0, MOST_GUIDANCE),
        callback=finite,
        help="How closely to follow the pictures: 1 as the model does by itself, more exaggerates, 0 takes no notice.",
    ),
    click.option(
        "--guidance-interval",
        cls=_OfBundle,
        type=(_LEVEL, _LEVEL),
        metavar="LOW HIGH",
        help=f"Guide at these timesteps only, of 0 (clean) to {PURE_NOISE:g} (noise); the others take half the work.",
    ),
    click.option(
        "--solver", cls=_OfBundle, type=click.Choice(SOLVERS), help="How to go from step to step; all cost the same."
    ),
)


_NAMES = ("quality", "steps", "guidance", "guidance_interval", "solver")


def sampling_options(function: F) -> F:
    """Give a command these options; it takes them by name, as :meth:`~mdsgen.sampling.Sampling.changed` does."""
    return give_options(function, _OPTIONS)


def take_sampling(settings: dict[str, Any]) -> dict[str, Any]:
    """What of a command's settings is about sampling; it is taken out of them."""
    return {name: settings.pop(name) for name in _NAMES}
