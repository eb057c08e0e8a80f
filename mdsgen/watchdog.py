"""Ends a process that was told to end and does not, because a library never comes back from a call."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mdsgen.files import abandon

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Ctrl-C, the end of a job, the end of a terminal."""

_STOP = 0  # no signal's number


@contextmanager
def watchdog(patience: float | None) -> Iterator[None]:
    """Within this block a signal ends the process after ``patience`` seconds, should the block not end before.

    Python's own handlers wait for the main thread to come back to Python. What is half written is removed; the exit
    code is 128 and the signal's number, as shells count. None watches nothing; outside the main thread signals never
    arrive.
    """
    if patience is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(reader, done, patience), name="watchdog", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        done.set()
        os.write(writer, bytes([_STOP]))
        thread.join()
        os.close(reader)
        os.close(writer)


def _watch(reader: int, done: threading.Event, patience: float) -> None:
    """Python writes the number of every signal that it handles into the pipe, whatever the main thread is at."""
    while (number := os.read(reader, 1)[0]) != _STOP:
        if number in ENDING and not done.wait(patience):
            abandon()
            if number == signal.SIGINT:
                os.write(2, b"interrupted\n")
            os._exit(128 + number)
