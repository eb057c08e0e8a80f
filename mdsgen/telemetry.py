"""No telemetry: what the libraries would write down or send of their use is off before one of them is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
"""ONNX Runtime 1.32 reads its variable when it is loaded: to disable the events later is too late for its files."""

_ABSENT = object()


def switch_off() -> None:
    """Tell libraries that are not loaded yet, and child processes, through the environment."""
    for name in _VARIABLES:
        os.environ[name] = "1"


@contextmanager
def hidden(module: str) -> Iterator[None]:
    """Whoever imports ``module`` in this block finds that it is not installed.

    OpenVINO's telemetry has no switch but a file in the home folder; without its package OpenVINO goes without it.
    """
    before = sys.modules.get(module, _ABSENT)
    sys.modules[module] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        if before is _ABSENT:
            del sys.modules[module]
        else:
            sys.modules[module] = before  # type: ignore[assignment]
