"""What GStreamer's loader for elements in Python reads. That runs the system's Python, and not whose site-packages
mdsgen is in: those are the ones that this file lies in, or of the virtual environment that is active."""

import os
import site
import sys
from pathlib import Path


def _add(folder: Path) -> None:
    """Let modules be found in a folder of site-packages, before all others."""
    known = list(sys.path)
    site.addsitedir(str(folder))
    sys.path[:] = [path for path in sys.path if path not in known] + known


_add(Path(__file__).resolve().parents[3])
if "VIRTUAL_ENV" in os.environ:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _add(Path(os.environ["VIRTUAL_ENV"], "lib", version, "site-packages"))

from mdsgen.integrations.gstreamer import ELEMENT  # noqa: E402

__gstelementfactory__ = ELEMENT
