"""What a command says on stderr while it works: for a person who watches, or for a file that is read later."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mdsgen.report import Interim, Report

_CLEAR = "\r\x1b[K"


quiet_option = click.option("--quiet", is_flag=True, help="Say nothing on stderr but what went wrong.")


@contextmanager
def reporting(quiet: bool = False) -> Iterator[Report]:
    """A report that writes to stderr, or nothing at all with ``quiet``.

    How far the work is stands in one line that is written anew, at a terminal only: a pipe gets what happened.
    """
    watched, pending = sys.stderr.isatty(), False

    def report(line: str) -> None:
        nonlocal pending
        if quiet or (isinstance(line, Interim) and not watched):
            return
        if isinstance(line, Interim):
            click.echo(_CLEAR + line[: shutil.get_terminal_size().columns - 1], err=True, nl=False)
        else:
            click.echo((_CLEAR if pending else "") + line, err=True)
        pending = isinstance(line, Interim)

    try:
        yield report
    finally:
        if pending:
            click.echo(_CLEAR, err=True, nl=False)
