"""The options of ``mdsgen-eval`` that say which scenes are judged, and how often each is given a sound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import click

from mdsgen.command import F, give_options
from mdsgen.evaluation.held_out import HELD_OUT, Selection
from mdsgen.geometry import DEMO
from mdsgen.scenes import KINDS
from mdsgen.scenes.catalogue import LONGEST

CLIPS, FILMS = 120, 12
"""How many scenes are judged unless told: of one window, and long ones."""
_OPTIONS = (
    click.option(
        "--clips",
        type=click.IntRange(2, HELD_OUT),
        help=f"Scenes to judge.  [default: {CLIPS}, with --seconds {FILMS}]",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, HELD_OUT - 1),
        default=0,
        show_default=True,
        help="The first scene. Each scene's number is also the seed of its sound.",
    ),
    click.option(
        "--kind",
        "kinds",
        type=click.Choice(KINDS),
        multiple=True,
        help="Scenes of this kind alone; repeatable, the kinds then come in turn.",
    ),
    click.option(
        "--seconds",
        type=click.IntRange(math.ceil(2 * DEMO.duration), int(LONGEST)),
        help="Judge films of this length instead of single windows: onsets and pitch beside those of their windows "
        "alone, and joins.",
    ),
    click.option(
        "--seeds",
        type=click.IntRange(2),
        help="Make so many sounds for each scene, and say how diverse they are. Of single windows.",
    ),
)


@dataclass(frozen=True)
class EvalRequest:
    """Which scenes are judged; whether as ``films`` of several windows; by how many ``seeds`` each."""

    selection: Selection
    films: bool
    seeds: int

    def __str__(self) -> str:
        chosen = self.selection
        scenes = f"{chosen.first_seed} to {chosen.first_seed + chosen.count - 1}"
        kinds = f", {', '.join(chosen.kinds)} in turn" if chosen.kinds else ""
        return f"{scenes}{kinds}" + (f", {chosen.seconds:g} s each" if self.films else "")


def eval_options(function: F) -> F:
    """Give a command these options, in this order."""
    return give_options(function, _OPTIONS)


def take_eval_request(settings: dict[str, Any]) -> EvalRequest:
    """What of a command's settings is about scenes and seeds; it is taken out of ``settings``.

    Raises a usage error where scenes would be judged that are trained on, and for seeds of films.
    """
    clips, seed, kinds, seconds, seeds = (settings.pop(name) for name in ("clips", "seed", "kinds", "seconds", "seeds"))
    if seconds is not None and seeds is not None:
        raise click.UsageError("--seeds is for single windows: leave out --seconds, or it")
    count = clips or (CLIPS if seconds is None else FILMS)
    selection = Selection(count, seed, kinds, seconds or DEMO.duration)
    return EvalRequest(selection, seconds is not None, seeds or 1)
