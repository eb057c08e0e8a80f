"""What all commands share: their options, and how they fail: one clear line on stderr and an exit code, a traceback
only with ``--debug``."""

from __future__ import annotations

import functools
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from mdsgen import __version__
from mdsgen.errors import MdsgenError, SettingsError
from mdsgen.watchdog import ENDING, watchdog

FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
HELP = ["-h", "--help"]
PATIENCE = 2.0
"""Seconds that an interrupted command has to end by itself."""


F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A click command with ``--debug``, whose errors are lines: exit code 1, or 130 where a person interrupted it.

    Usage errors stay click's own, with exit code 2, and an impossible setting is one; so stays a reader that closes the
    pipe early. SIGTERM and SIGHUP let the command clean up, as an interruption does; it then exits without a word, with
    143 or 129. It has ``patience`` seconds for that, also where a library never comes back; None is as long as it
    takes.
    """

    def __init__(self, *args: Any, patience: float | None = PATIENCE, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience = patience
        self.context_settings.setdefault("help_option_names", HELP)
        self.params += [
            click.Option(["--debug"], is_flag=True, expose_value=False, callback=_remember, help="Show tracebacks."),
            _version_option(),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with watchdog(self._patience), _terminable(), _logging():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.meta[_DEBUG]:
                raise
            if isinstance(error, SettingsError):
                raise click.UsageError(_words(error), ctx) from error
            click.echo(_line(error), err=True)
            ctx.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED)


class Group(click.Group):
    """Several commands under one name, listed in the order in which they were added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.context_settings.setdefault("help_option_names", HELP)
        self.params.append(_version_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@contextmanager
def wrong_use(kind: type[MdsgenError]) -> Iterator[None]:
    """Within this context a fault of that ``kind`` is one of the command line: a usage error, before any work."""
    try:
        yield
    except kind as error:
        raise click.UsageError(_words(error)) from error


command = functools.partial(click.command, cls=Command)
"""Like ``click.command``, for every command of the project."""


def give_options(function: F, options: Sequence[Callable[[Any], Any]]) -> F:
    """Give a command these click options; its help lists them in this order."""
    for option in reversed(options):
        function = option(function)
    return function


_DEBUG = f"{__name__}.debug"


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            click.echo(f"mdsgen {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version and exit."
    )


class _OnStderr(logging.Handler):
    """Writes what the library logs as lines of a command: a warning of the library is a note to its user."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"note: {record.getMessage()}", err=True)


@contextmanager
def _logging() -> Iterator[None]:
    """Within this context warnings of the logger ``mdsgen`` are lines on stderr."""
    logger = logging.getLogger("mdsgen")
    handler = _OnStderr(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


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
    if isinstance(error, MdsgenError):
        return f"error: {_words(error)}"
    return f"error: {type(error).__name__}: {_words(error)} (--debug shows where)"


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())
