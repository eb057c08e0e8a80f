"""The engine that a trial chose for a graph, remembered on this machine: one file per graph, options and versions.

Processes that start together agree: one of them decides while the others wait for it. A choice that was made while the
machine had other work is provisional, and holds for an hour.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mdsgen.cache import cache_folder
from mdsgen.files import write_whole

PROVISIONAL_SECONDS = 3600.0
"""How long a choice holds that was made under load."""

WAIT_SECONDS = 60.0
"""How long a process waits for another one's trial, which takes a few seconds."""

_POLL = 0.05


@dataclass(frozen=True)
class Choice:
    """What a trial found.

    ``figures``: milliseconds of each engine, and its signal-to-noise ratio in dB against the first one. ``load``: how
    many processes wanted to run, on average of the last minute, on so many ``cores``. ``made``: seconds since 1970.
    ``graph`` is its file's SHA-256.
    """

    engine: str
    graph: str
    options: str
    figures: dict[str, dict[str, float | None]] = field(default_factory=dict)
    load: float = 0.0
    cores: int = 1
    made: float = 0.0

    @property
    def provisional(self) -> bool:
        """Whether it was made under load."""
        return self.load > self.cores

    @property
    def holds(self) -> bool:
        """Whether it still counts."""
        return not self.provisional or 0 <= time.time() - self.made < PROVISIONAL_SECONDS

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {of['milliseconds'] or 0:.1f} ms" for name, of in self.figures.items())
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.made))
        load = f"load {self.load:.1f} on {self.cores} cores" + (", provisional" if self.provisional else "")
        return f"{self.engine} ({figures}; {when}, {load})"

    def write(self, path: Path) -> None:
        """Raises :class:`OSError`."""
        write_whole(path, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Choice | None:
        """None where there is none, or the file is damaged."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            str(found)
            return found if isinstance(found.holds, bool) and isinstance(found.engine, str) else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None


def load_average() -> float:
    """How many processes want to run, on average of the last minute; 0 where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def choices_for(graph: Path) -> dict[Path, Choice]:
    """Everything that is remembered of a graph file, by the file that it is kept in; the newest last."""
    digest, found = digest_of(graph), {}
    with suppress(OSError):
        for path in cache_folder("engines").glob(f"{graph.stem}-*.json"):
            choice = Choice.read(path)
            if choice is not None and choice.graph == digest:
                found[path] = choice
    return dict(sorted(found.items(), key=lambda entry: entry[1].made))


def forget(graph: Path) -> int:
    """Forget the choices of a graph file, so that the engines are tried again; how many there were."""
    found = choices_for(graph)
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def digest_of(graph: Path) -> str:
    """The SHA-256 of a graph's file."""
    return hashlib.sha256(graph.read_bytes()).hexdigest()


@contextmanager
def deciding(path: Path, seconds: float = WAIT_SECONDS) -> Iterator[bool]:
    """Whether this process may decide what ``path`` will say: one at a time does, others wait for it so long.

    Raises :class:`OSError` where nothing can be written or locked there. A process that ends, however, decides no more.
    """
    import fcntl  # what only POSIX has

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    yield False
                    return
                time.sleep(_POLL)
            else:
                yield True
                return
    finally:
        os.close(lock)
