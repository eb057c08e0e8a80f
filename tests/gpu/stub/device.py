"""What the stub of TensorRT is told of the device: addresses, streams and failures are those of the driver's stub."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gpu.stub.library import load

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class StubDevice:
    """Enqueues as a library does that has its own kernels."""

    def __init__(self) -> None:
        self._library = load()
        self._kept: list[Any] = []  # a captured callback may be called as long as its graph lives

    def call(self, name: str) -> bool:
        """Note a call; whether it is to fail."""
        return bool(self._library.stub_note(name.encode()))

    def enqueue_on(self, stream: int, work: Callable[[], None]) -> bool:
        """Do it when the stream gets there; whether the driver took it."""

        def run(_: int) -> None:
            try:
                work()
            except Exception as error:  # nobody hears it on the stream
                self._library.stub_complain(f"on the stream: {type(error).__name__}: {error}".encode())

        callback = _CALLBACK(run)
        self._kept.append(callback)
        return int(self._library.cuLaunchHostFunc(ctypes.c_void_p(stream), callback, None)) == 0

    def view(self, address: int, count: int, dtype: str = "float32") -> np.ndarray:
        """Device memory as an array."""
        nbytes = count * np.dtype(dtype).itemsize
        if not self._library.stub_inside(address, nbytes):
            raise ValueError(f"{nbytes} bytes at {address:#x} are not allocated")
        return np.frombuffer((ctypes.c_byte * nbytes).from_address(address), dtype)
