"""What becomes of a test that needs a GPU where there is none."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

BUNDLE = "MDSGEN_GPU_BUNDLE"
"""The variable that names a bundle with plans; ``make gpu`` sets it."""


def there_is_no(why: object) -> NoReturn:
    """Skip; where a bundle for the GPU is named, there is to be one, and a skip would look as if all had passed."""
    if BUNDLE in os.environ:
        pytest.fail(f"{BUNDLE} is set, but {why}")
    pytest.skip(str(why))
