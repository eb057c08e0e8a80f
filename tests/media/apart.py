"""Encoders in a process of their own, where they can do no harm to the tests that only need a film of theirs.

x265 was seen to end its process, and SVT-AV1, run as root, makes its own a real-time one that starves all others.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

APART = frozenset({"libx265", "libsvtav1"})
"""The encoders that are run so."""


def apart(work: Callable[..., Path], *arguments: Any) -> Path:
    """``work(*arguments)`` in a new process; skips the test where the encoder has ended it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result(timeout=60)
        except BrokenProcessPool:
            pytest.skip("the encoder of this film ended its process")
