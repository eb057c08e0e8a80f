"""Signals that end a training, taken as a wish: what is being computed is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mdsgen.watchdog import ENDING


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Within this context these signals raise nothing; what is yielded tells whether one came.

    Whoever stops because of that raises ``KeyboardInterrupt``. Where it was SIGTERM or SIGHUP, that signal then comes
    once more, with its own handler. Those that are ignored, as SIGHUP is under ``nohup``, stay so. Outside the main
    thread, where signals never arrive, none ever came.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    handled = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, remember) for number in handled}
    interrupted = False
    try:
        yield lambda: bool(received)
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if interrupted and received and received[0] != signal.SIGINT:
            signal.raise_signal(received[0])
