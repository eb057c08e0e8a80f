"""Engines in a forked process: it has their memory, but not their threads, and must never end them.

To destroy an ONNX Runtime session there is a crash (it joins threads that do not exist), to destroy OpenVINO's a hang.
So whatever was open when the process was forked stays open in the new one until that ends.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any
from weakref import WeakSet

_open: WeakSet[Any] = WeakSet()

opening = threading.Lock()
"""Held while a library opens a network: OpenVINO's first calls from two threads wait for each other for ever.

Each holds what the other needs, the interpreter's lock or that of a constant which is made at the first call."""


def stays_open_when_forked(thing: Any) -> None:
    """A forked process keeps this for ever, should it be alive when the process is forked."""
    _open.add(thing)


def _keep_all() -> None:
    for thing in list(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # survives the end of the interpreter, unlike any name


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_all)
    os.register_at_fork(before=opening.acquire, after_in_parent=opening.release, after_in_child=opening.release)
