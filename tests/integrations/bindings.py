"""GStreamer's Python bindings, wherever they lie."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Any

from mdsgen.integrations.registration import register

DEBIAN = Path("/usr/lib/python3/dist-packages")
"""Where Debian keeps them for its own Python; they serve any other of the same version."""


def registered() -> Any:
    """``gi.repository.Gst``, in which ``mdsgen`` is found. Raises ImportError or ValueError where there is none."""
    before = list(sys.path)
    if (DEBIAN / "gi" / f"_gi{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
        sys.path.append(str(DEBIAN))
    try:
        register()
    finally:
        sys.path[:] = before
    from gi.repository import Gst

    return Gst
