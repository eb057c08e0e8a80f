"""Where the installed commands begin: Ctrl-C while their imports still run is one line, not a traceback.

Imports nothing heavy by itself. ``mdsgen-run`` calls :func:`run`.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from importlib import import_module
from types import FrameType
from typing import NoReturn


def _start(command: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where whoever started the command has it ignored
        signal.signal(signal.SIGINT, _leave)
    main = import_module(f"mdsgen.cli.{command}").main
    signal.signal(signal.SIGINT, before)
    main()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """At once: an exception would be caught by whichever library is being imported, and there is nothing to undo."""
    os.write(2, b"interrupted\n")
    os._exit(130)


bench = partial(_start, "bench")
eval = partial(_start, "eval")  # the command's name
export = partial(_start, "export")
info = partial(_start, "info")
run = partial(_start, "run")
train = partial(_start, "train")
