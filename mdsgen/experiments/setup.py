"""What every experiment can be told: which bundle, which held-out scenes, and what runs the networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from mdsgen.command import F, give_options
from mdsgen.engines import ENGINES, EngineOptions
from mdsgen.engines.base import MOST_THREADS
from mdsgen.evaluation.held_out import HELD_OUT, check_held_out


@dataclass(frozen=True)
class Setup:
    """``clips`` held-out scenes from ``first_seed`` on, and the engine; ``threads`` are the judge's as well.

    Raises :class:`~mdsgen.errors.SettingsError` for scenes that are trained on.
    """

    clips: int
    first_seed: int = 0
    engine: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        check_held_out(self.clips, self.first_seed)

    @property
    def engine_options(self) -> EngineOptions:
        return EngineOptions(threads=self.threads)


def setup_options(function: F) -> F:
    """The options ``--bundle``, ``--clips``, ``--seed``, ``--engine``, ``--threads`` and ``--json`` of a command."""
    return give_options(function, _OPTIONS)


_OPTIONS = (
    click.option(
        "--bundle",
        type=click.Path(path_type=Path),
        help="A bundle that mdsgen-export made.  [default: $MDSGEN_BUNDLE, or the demo model]",
    ),
    click.option("--clips", type=click.IntRange(2, HELD_OUT), default=60, show_default=True, help="Scenes to judge."),
    click.option("--seed", type=click.IntRange(0, HELD_OUT - 1), default=0, show_default=True, help="The first scene."),
    click.option(
        "--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="What runs the networks."
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, MOST_THREADS),
        help="Threads of the engine.  [default: one per physical core]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs."),
)
