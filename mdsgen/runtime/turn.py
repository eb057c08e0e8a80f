"""Whose turn it is on the engines and arrays of a pipeline: one window's at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mdsgen.errors import EngineError


class Turn:
    """A lock that says why, where waiting would last for ever.

    Raises :class:`EngineError` in a forked process, whose copy of the engines has lost its threads, and in the thread
    whose turn it is already: a progress callback that asks the pipeline which is calling it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._process = os.getpid()

    @property
    def is_forked(self) -> bool:
        """Whether this is another process than the one that opened the engines."""
        return os.getpid() != self._process

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within this block it is this thread's turn; before it, the others finish theirs."""
        if self.is_forked:
            raise EngineError("a pipeline does not work in a forked process: open one there, or start it with spawn")
        if self._holder == threading.get_ident():
            raise EngineError("a pipeline was asked for a sound by its own progress callback: ask when that is done")
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None
