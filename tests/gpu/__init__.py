"""The check on a GPU, ``python -m tests.gpu``: its tests, parts with their limits, targets, and rehearsal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

from tests.gpu.targets import TARGETS

BUNDLE = "MDSGEN_GPU_BUNDLE"
"""The variable that names a bundle with plans, or to build plans in; the parts set it for one another."""
FIGURES = "MDSGEN_GPU_FIGURES"
"""The variable that names the file into which tests write what they measured, line by line."""
REHEARSAL = "MDSGEN_GPU_REHEARSAL"
"""Set where there is no GPU but a stub of the driver: everything runs, little of it often, and no time counts."""


def there_is_no(why: object) -> NoReturn:
    """Skip; where a bundle for the GPU is named, there is to be one, and a skip would look as if all had passed."""
    if BUNDLE in os.environ:
        pytest.fail(f"{BUNDLE} is set, but {why}")
    pytest.skip(str(why))


def rehearsed(often: int, seldom: int) -> int:
    """How often something is done: on a GPU, or in a rehearsal."""
    return seldom if REHEARSAL in os.environ else often


def measured(name: str, value: float) -> bool:
    """Keep a figure for the summary; whether it meets its target, or is a time in a rehearsal, which no GPU took."""
    if FIGURES in os.environ:
        with Path(os.environ[FIGURES]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"target": name, "value": value}) + "\n")
    target = TARGETS[name]
    print(f"{target.what}: {value:.4g} {target.unit} ({target.limit_in_words})")
    return target.met(value) or (target.of_time and REHEARSAL in os.environ)
