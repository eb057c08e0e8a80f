"""How much work there is time for, and how late it is where nobody says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

LEAK = 0.005
"""Share by which two clocks may differ: a source whose clock is slower than ours is followed."""


class Effort(Enum):
    """What is done for a block: all evaluations of the denoiser, half of them, or nothing but silence."""

    FULL = "full"
    FEWER = "fewer"
    SILENT = "silent"


def effort(behind: float, block: float, interval: float) -> Effort:
    """What there is time for, ``behind`` seconds after a block could have been begun, with pictures at an interval."""
    late = behind - interval
    if late <= 0.5 * block:
        return Effort.FULL
    return Effort.FEWER if late <= 2 * block else Effort.SILENT


class SourceClock:
    """Tells the time of a source that has gone quiet, from when its pictures came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._offset: float | None = None
        self._before = 0.0

    def arrived(self, seconds: float) -> None:
        """A picture of that time has come just now: the least delayed ones say how the clocks lie to each other."""
        with self._lock:
            now = self._clock()
            offset = now - seconds
            if self._offset is not None:
                offset = min(offset, self._offset + LEAK * (now - self._before))
            self._offset, self._before = offset, now

    @property
    def now(self) -> float | None:
        """Seconds on the source's time line; None before its first picture."""
        with self._lock:
            return None if self._offset is None else self._clock() - self._offset
