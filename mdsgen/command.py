"""How every command fails: one clear line on stderr and an exit code, a traceback only with ``--debug``."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

from mdsgen.errors import MdsgenError
from mdsgen.watchdog import ENDING, watchdog

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
PATIENCE = 2.0
"""Seconds that an interrupted command has to end by itself."""


class Command(click.Command):
    """A click command with ``--debug``, whose errors are lines: exit code 1, or 130 where a person interrupted it.

    Usage errors stay click's own, with exit code 2, and so does a reader that closes the pipe early. SIGTERM and SIGHUP
    let the command clean up, as an interruption does; it then exits without a word, with 143 or 129. It has
    ``patience`` seconds for that, also where a library never comes back; None is as long as it takes.
    """

    def __init__(self, *args: Any, patience: float | None = PATIENCE, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience = patience
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, callback=_remember, help="Show tracebacks.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with watchdog(self._patience), _terminable():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.meta[_DEBUG]:
                raise
            click.echo(_line(error), err=True)
            ctx.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED)


command = functools.partial(click.command, cls=Command)
"""Like ``click.command``, for every command of the project."""

_DEBUG = f"{__name__}.debug"


@contextmanager
def _terminable() -> Iterator[None]:
    """Within this context SIGTERM and SIGHUP raise :class:`SystemExit`, where they are not ignored.

    Outside the main thread they never arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    handled = [
        number for number in ENDING if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, terminate) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    message = " ".join(str(error).split())
    if isinstance(error, MdsgenError):
        return f"error: {message}"
    return f"error: {type(error).__name__}: {message} (--debug shows where)"
