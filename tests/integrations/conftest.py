"""GStreamer and its Python bindings, where they are installed."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mdsgen.integrations.registration import register
from tests.integrations.feeding import Feed

DEBIAN = Path("/usr/lib/python3/dist-packages")
"""Where Debian keeps the bindings for its own Python, which serve any other of the same version."""


@pytest.fixture(scope="session")
def gst() -> Any:
    """``gi.repository.Gst``, in which ``mdsgen`` is registered."""
    before = list(sys.path)
    if (DEBIAN / "gi" / f"_gi{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
        sys.path.append(str(DEBIAN))
    try:
        register()
    except (ImportError, ValueError) as error:
        pytest.skip(f"GStreamer's Python bindings are not installed: {error}")
    finally:
        sys.path[:] = before
    from gi.repository import Gst

    if not all(map(Gst.ElementFactory.find, ("appsrc", "appsink", "videotestsrc", "videoconvert"))):
        pytest.skip("GStreamer's base plugins are not installed")
    return Gst


@pytest.fixture
def feed(gst: Any, bundle_path: Path) -> Iterator[Feed]:
    """The element between pictures that a test pushes, and sound that it looks at."""
    with Feed(gst, bundle_path) as opened:
        yield opened
