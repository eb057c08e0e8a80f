"""Processes that tests start: they end in time, or their whole group is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

LIMIT = 60.0
"""Seconds."""


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, with pipes in text; the group is gone afterwards."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **{**pipes, **options}) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def finished(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """What a process came to that ended by itself."""
    with child(command, **options) as process:
        stdout, stderr = process.communicate(timeout=LIMIT)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
