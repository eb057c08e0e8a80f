"""``python -m tests.fuzz``: a table of what damaged input came to; exit status 1 where anything is bad."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tests.fuzz.kind import load, names
from tests.fuzz.pool import Campaign, Report, run, table

SHOWN = 20
"""Bad cases of a kind that are listed."""


@click.command("fuzz")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(names()), help="Repeat it for several.  [default: all]"
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first case.")
@click.option("--count", type=click.IntRange(1), help="Cases of each kind.  [default: the kind's own]")
@click.option("--seconds", type=click.FloatRange(0), default=float("inf"), help="Stop a kind after so long.")
@click.option("--limit", type=click.FloatRange(0), default=20.0, show_default=True, help="Seconds of a case.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes side by side.")
@click.option("--keep", type=click.Path(path_type=Path), help="Copy the inputs of bad cases into this folder.")
def main(
    kinds: tuple[str, ...],
    seed: int,
    first: int,
    count: int | None,
    seconds: float,
    limit: float,
    workers: int,
    keep: Path | None,
) -> None:
    """Try damaged input of each KIND in child processes."""
    reports: dict[str, Report] = {}
    for kind in kinds or names():
        cases = count or load(kind).count
        reports[kind] = report = run(Campaign(kind, seed, first, cases, seconds, limit, workers, keep))
        for number, come, words in report.bad[:SHOWN]:
            click.echo(f"{kind} --seed {seed} --first {number}: {come}: {words}", err=True)
    click.echo(table(reports))
    sys.exit(1 if any(report.bad for report in reports.values()) else 0)


if __name__ == "__main__":
    main()
