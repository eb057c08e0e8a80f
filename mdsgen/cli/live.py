"""``mdsgen-run`` for a source without an end: its sound to a card, a pipe or a file, until Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdsgen.cli.options import finite
from mdsgen.command import F, give_options, wrong_use
from mdsgen.errors import MdsgenError, MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.names import PIPE, is_endless
from mdsgen.runtime.live_options import LiveOptions

if TYPE_CHECKING:
    from mdsgen.runtime import Live

CARD = "alsa:default"
"""Where live sound goes when nobody says."""

_FAREWELL = 0.5  # seconds that a camera is given to let go of its picture
_FILMS_ONLY = {"start": "--start", "mix": "--mix", "keep_original": "--keep-original", "recursive": "--recursive"}
_FILMS_ONLY |= {"jobs": "--jobs", "cluster": "--cluster", "skip_existing": "--skip-existing", "as_json": "--json"}

_OPTIONS = (
    click.option("--live", is_flag=True, help="Play a file at its own speed, as if it came from a camera."),
    click.option(
        "--block",
        type=click.FloatRange(0, min_open=True),
        default=LiveOptions.block,
        show_default=True,
        callback=finite,
        help="Seconds of live sound at a time; rounded up, as the lookahead, to whole columns (0.256 s).",
    ),
    click.option(
        "--lookahead",
        type=click.FloatRange(0),
        default=LiveOptions.lookahead,
        show_default=True,
        callback=finite,
        help="Seconds that a live block waits for what follows it.",
    ),
)


@dataclass(frozen=True)
class Wanted:
    """Whether files are played as if they were cameras, and the lengths of blocks and lookahead in seconds."""

    always: bool
    block: float
    lookahead: float

    def is_live(self, videos: tuple[Path, ...]) -> bool:
        """Whether the sources are played and not rendered. Raises a usage error for several, one of which is."""
        live = self.always or any(is_endless(video) for video in videos)
        if live and len(videos) != 1:
            raise click.UsageError("a live source is played alone")
        return live


def live_options(function: F) -> F:
    """Options of sources without an end."""
    return give_options(function, _OPTIONS)


def take_live(settings: dict[str, Any]) -> Wanted:
    """Take the options of :func:`live_options` out of a command's."""
    return Wanted(settings.pop("live"), settings.pop("block"), settings.pop("lookahead"))


def refuse_for_live(**given: object) -> None:
    """Raise a usage error for what only a film can have."""
    for name, value in given.items():
        if value:
            raise click.UsageError(f"a live source has no {_FILMS_ONLY[name]}")


def sink_of(output: str | None, form: str | None) -> str:
    """Where live sound goes. Raises a usage error where in that form it cannot go there."""
    from mdsgen.media.endless import check_sink  # films need no sound card

    target = output or CARD
    with wrong_use(MediaError):
        check_sink(target, form)
    return target


def say_rounded(live: Live, wanted: Wanted) -> None:
    """Say of block and lookahead that they are not as long as asked for."""
    for name in ("block", "lookahead"):
        asked, found = getattr(wanted, name), getattr(live.options, name)
        if abs(asked - found) > 1e-6:
            click.echo(f"note: a {name} of {asked:g} s is rounded up to {found:g} s, whole columns", err=True)


def play(live: Live, source: Path, target: str, form: str | None, duration: float | None) -> None:
    """Play the sound of a source until it ends, ``duration`` seconds are over, or Ctrl-C; what is finished is kept.

    What else stopped it is raised when its sound so far has been kept.
    """
    from mdsgen.media.endless import open_sink

    with live, open_sink(target, form) as sink:
        written, stops = 0, list[BaseException]()
        try:
            with (_taken if _nobody_waits(source, target) else _pushing)(source, live) as (blocks, faults):
                for block in _first(blocks, duration):
                    sink.write(block)
                    written += len(block)
            stops += faults
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
        except SystemExit as ended:  # by SIGTERM
            stops.append(ended)
        if stops and not written:
            raise stops[0]
    told = live.statistics
    click.echo(
        f"{written / SAMPLE_RATE:.3f} s of sound for {told.pictures} pictures; of {told.blocks} blocks "
        f"{told.fewer} with fewer evaluations and {told.silent} silent; latency {live.latency:.2f} s",
        err=True,
    )
    if stops:
        raise stops[0]


def _first(blocks: Iterator[Any], duration: float | None) -> Iterator[Any]:
    """The blocks of the first ``duration`` seconds."""
    if duration is None:
        yield from blocks
        return
    left = round(duration * SAMPLE_RATE)
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


def _nobody_waits(source: Path, target: str) -> bool:
    """Whether a pipe's sound goes into a file: one that is faster than its film then waits, and nothing is dropped."""
    from mdsgen.media.endless import is_card

    return str(source) == PIPE and target != PIPE and not is_card(target)


@contextmanager
def _taken(source: Path, live: Live) -> Iterator[tuple[Iterator[Any], list[Exception]]]:
    """Blocks that are computed before the next picture is read; the list holds what stopped it, but for its end."""
    from mdsgen.media.camera import open_camera

    faults: list[Exception] = []

    def blocks() -> Iterator[Any]:
        try:
            with open_camera(source, live.frame_size) as camera:
                for time, picture in camera:
                    yield from live.push(picture, time)
            yield live.finish(camera.interval)
        except MdsgenError as error:
            faults.append(error)

    yield blocks(), faults


@contextmanager
def _pushing(source: Path, live: Live) -> Iterator[tuple[Iterator[Any], list[Exception]]]:
    """Blocks while a thread reads the source; the list holds what stopped it, but for its end."""
    from mdsgen.media.camera import open_camera

    faults: list[Exception] = []

    def push() -> None:
        try:
            with open_camera(source, live.frame_size) as camera:
                for time, picture in camera:
                    live.push(picture, time)
            live.end(camera.interval)
        except Exception as error:  # told in the other thread
            if not live.is_closed:
                faults.append(error)
                live.close()

    reader = threading.Thread(target=push, name=f"pictures of {source}", daemon=True)
    reader.start()
    try:
        yield live.pull(), faults
    finally:
        live.close()
        reader.join(_FAREWELL)
