"""What a kind of damaged input has to say, and what can come of a case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from random import Random

RESULT, REFUSED = "result", "refused"
RAISED, UNREADABLE, LEFTOVER = "raised", "unreadable", "leftover"
CRASH, HANG = "crash", "hang"
OUTCOMES = (RESULT, REFUSED, RAISED, UNREADABLE, LEFTOVER, CRASH, HANG)
"""A result that opens, one line of refusal, and what must not be: another exception, a result that does not open, files
left behind, a process that died, and one that takes longer than its limit."""
GOOD = frozenset({RESULT, REFUSED})


class Kind(ABC):
    """One kind of input: how a case is made, how it is used, and when its result is whole."""

    count = 1000
    """Cases that are tried where nobody says."""

    def prepare(self, folder: Path) -> None:  # noqa: B027 (most kinds need none)
        """Make in ``folder`` what all cases start from; once, before any worker starts."""

    def open(self, folder: Path) -> None:  # noqa: B027 (most kinds need none)
        """Load what :meth:`prepare` made; once in each worker."""

    @abstractmethod
    def make(self, random: Random, scratch: Path) -> Path:
        """Write one damaged input into the empty folder ``scratch``."""

    @abstractmethod
    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        """Do with it what a person would; returns the files that came of it. ``MdsgenError`` is a refusal."""

    def check(self, result: Path) -> None:  # noqa: B027 (most kinds need none)
        """Raise where one of these files is not whole."""


def names() -> list[str]:
    """All kinds, by their modules' names."""
    from tests.fuzz import kinds

    return sorted(module.name for module in iter_modules(kinds.__path__))


def load(module: str) -> Kind:
    """The kind of a module: ``video``, or a whole dotted name."""
    name = module if "." in module else f"tests.fuzz.kinds.{module}"
    kind: Kind = import_module(name).Fuzz()
    return kind
