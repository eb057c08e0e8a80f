"""Where the installed commands begin, before anything heavy is imported: ``mdsgen-run`` calls :func:`run`.

Ctrl-C while imports still run is one line, not a traceback; streams that are closed, or of a narrow encoding, take
whatever is written to them.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from functools import partial
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

_NO_MATRICES = ("info", "run", "serve")
"""Commands that multiply no matrices in NumPy."""


def _start(command: str) -> None:
    sys.stdout, sys.stderr = _usable(sys.stdout, 1), _usable(sys.stderr, 2)
    if command in _NO_MATRICES:  # else OpenBLAS starts threads that spin a while for nothing: 60 ms of processor time
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(10_000)  # imports make many objects and no garbage: looking for it takes 20 ms
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where whoever started the command has it ignored
        signal.signal(signal.SIGINT, _leave)
    main = import_module(f"mdsgen.cli.{command}").main
    signal.signal(signal.SIGINT, before)
    try:
        main()
    finally:
        gc.freeze()  # nobody needs the memory that Python would look for at the end: 10 ms


def _usable(stream: TextIO | None, number: int) -> TextIO:
    """The stream, whose encoding may lack characters; /dev/null where it is closed, before a file takes its number."""
    if stream is None:
        while os.open(os.devnull, os.O_RDWR) < number:
            pass
        return open(number, "w", encoding="utf-8", errors="replace", closefd=False)
    if stream.errors == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """At once: an exception would be caught by whichever library is being imported, and there is nothing to undo."""
    os.write(2, b"interrupted\n")
    os._exit(130)


bench = partial(_start, "bench")
eval = partial(_start, "eval")  # the command's name
export = partial(_start, "export")
info = partial(_start, "info")
run = partial(_start, "run")
serve = partial(_start, "serve")
train = partial(_start, "train")
