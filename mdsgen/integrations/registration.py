"""GStreamer's element in a program of Python, without a search path: call :func:`register` before GStreamer is used."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def register() -> None:
    """Initialise GStreamer, where the program has not, and let ``mdsgen`` be found in this process.

    Raises ImportError or ValueError where GStreamer or its Python bindings are not installed.
    """
    _keep_unwinding()
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    Gst.init(None)
    from mdsgen.integrations.gstreamer import ELEMENT

    Gst.Element.register(None, *ELEMENT)


def _keep_unwinding() -> None:
    """Have the C++ exceptions of engines caught. The bindings load GStreamer's libunwind for the whole process. Where
    NumPy came first, half of each exception would be libunwind's and half libgcc's, and end the process."""
    with suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
