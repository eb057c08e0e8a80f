"""The functions of ``mdsgen.h``, from C's types to Python's and back; :func:`define` puts them behind the library's."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from mdsgen.errors import MdsgenError
from mdsgen.integrations.c.session import Session


def define(ffi: Any) -> None:
    """Define what the library exports; ``ffi`` is its own."""
    calls = Calls(ffi)
    for name, failed in (("open", ffi.NULL), ("push", -1), ("end", -1), ("pull", -1), ("close", None)):
        ffi.def_extern(name=f"mdsgen_{name}")(calls.guarded(getattr(calls, name), failed))
    ffi.def_extern(name="mdsgen_error")(calls.error)


class Calls:
    """What C calls: sessions by their handles, and for each thread what failed last."""

    def __init__(self, ffi: Any) -> None:
        self._ffi, self._sessions = ffi, dict[Any, tuple[Any, Session]]()
        self._thread = threading.local()

    def guarded(self, call: Callable[..., Any], failed: Any) -> Callable[..., Any]:
        """The call, whose exceptions are kept for :meth:`error` and given out as ``failed``."""

        @wraps(call)
        def guard(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except BaseException as error:
                line = str(error) if isinstance(error, MdsgenError) else f"{type(error).__name__}: {error}"
                self._thread.error = self._ffi.new("char[]", line.encode("utf-8", "backslashreplace"))
                return failed

        return guard

    def open(self, bundle: Any, options: Any) -> Any:
        session = Session(self._text(bundle), self._text(options) or "")
        handle = self._ffi.new_handle(session)
        pointer = self._ffi.cast("mdsgen *", handle)
        self._sessions[pointer] = handle, session
        return pointer

    def push(self, session: Any, rgb: Any, width: int, height: int, stride: int, time: float) -> int:
        found = self._session(session)
        if rgb == self._ffi.NULL or width < 1 or height < 1 or stride < 3 * width:
            raise MdsgenError(f"expected a picture, got {width} x {height} with a stride of {stride}")
        rows = self._ffi.buffer(rgb, (height - 1) * stride + 3 * width)
        picture: np.ndarray = np.ndarray((height, width, 3), np.uint8, rows, strides=(stride, 3, 1))
        found.push(picture, None if math.isnan(time) else time)
        return 0

    def end(self, session: Any) -> int:
        self._session(session).end()
        return 0

    def pull(self, session: Any, samples: Any, most: int) -> int:
        found = self._session(session)
        if samples == self._ffi.NULL:
            raise MdsgenError("expected a place for samples, got NULL")
        sound = found.pull(most)
        self._ffi.memmove(samples, np.ascontiguousarray(sound), sound.nbytes)
        return len(sound)

    def close(self, session: Any) -> None:
        if session != self._ffi.NULL:
            found = self._session(session)
            del self._sessions[session]
            found.close()

    def error(self) -> Any:
        return getattr(self._thread, "error", self._ffi.NULL)

    def _session(self, pointer: Any) -> Session:
        if pointer not in self._sessions:
            raise MdsgenError("expected a session that mdsgen_open gave, got NULL or one that is closed")
        return self._sessions[pointer][1]

    def _text(self, text: Any) -> str | None:
        return None if text == self._ffi.NULL else os.fsdecode(self._ffi.string(text))
