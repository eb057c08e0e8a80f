"""GStreamer's element in this process, where GStreamer is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.bindings import registered
from tests.integrations.feeding import Feed


@pytest.fixture(scope="session")
def gst() -> Any:
    """``gi.repository.Gst``, in which ``mdsgen`` is found."""
    try:
        found = registered()
    except (ImportError, ValueError) as error:
        pytest.skip(f"GStreamer's Python bindings are not installed: {error}")
    if not all(map(found.ElementFactory.find, ("appsrc", "appsink", "videotestsrc"))):
        pytest.skip("GStreamer's base plugins are not installed")
    return found


@pytest.fixture
def feed(gst: Any, bundle_path: Path) -> Iterator[Feed]:
    """The element between pictures that a test pushes, and sound that it looks at."""
    with Feed(gst, bundle_path) as opened:
        yield opened
