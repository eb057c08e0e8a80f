"""pycuda.driver as pycuda 2026.1 has it: its stack of contexts per thread, its owners, its errors."""

from __future__ import annotations

import atexit
import ctypes
import os
import struct
import sys
import threading
from typing import Any

import numpy as np

_cuda = ctypes.CDLL("libcuda.so.1")
_void, _size = ctypes.c_void_p, ctypes.c_size_t


class Error(Exception):
    """Any failure of the driver."""


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_cuda, name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        _cuda.cuGetErrorString(status, ctypes.byref(text))
        raise Error(f"{name.split('_')[0]} failed: {(text.value or b'').decode()}")


class _Stack(threading.local):
    def __init__(self) -> None:
        self.contexts: list[Context] = []


_stack = _Stack()


class Context:
    """The device's primary context, which only its own thread's stack makes current."""

    def __init__(self, handle: int, device: Device) -> None:
        self.handle, self._device, self._valid = handle, device, True
        self.thread = threading.get_ident()

    def push(self) -> None:
        _leave()
        _call("cuCtxPushCurrent_v2", _void(self.handle))
        _stack.contexts.append(self)

    @staticmethod
    def pop() -> None:
        _leave()
        if not _stack.contexts:
            raise Error("context::pop failed: invalid device context - cannot pop non-current context")
        _stack.contexts.pop()
        if _stack.contexts:
            _call("cuCtxPushCurrent_v2", _void(_stack.contexts[-1].handle))

    def detach(self) -> None:
        if not self._valid:
            raise Error("context::detach failed: invalid device context - cannot detach from invalid context")
        self._valid = False
        current = bool(_stack.contexts) and _stack.contexts[-1] is self
        if current:
            _stack.contexts.pop()
        elif self.thread == threading.get_ident():
            _cuda.cuCtxPushCurrent_v2(_void(self.handle))
        else:
            return
        _cuda.cuDevicePrimaryCtxRelease_v2(0)

    @staticmethod
    def get_device() -> Device:
        device = ctypes.c_int()
        _call("cuCtxGetDevice", ctypes.byref(device))
        return Device(device.value)

    @staticmethod
    def synchronize() -> None:
        _call("cuCtxSynchronize")


def _leave() -> None:
    if _stack.contexts:
        _call("cuCtxPopCurrent_v2", ctypes.byref(_void()))


def _abort_as_pycuda_does(stack: _Stack = _stack) -> None:
    if stack.contexts:
        sys.stderr.write("PyCUDA ERROR: The context stack was not empty upon module cleanup.\n")
        sys.stderr.flush()
        os.abort()


class _Held:
    """What belongs to the context in which it was made, and is given back there."""

    _destroy = ""

    def __init__(self) -> None:
        if not _stack.contexts:
            raise Error("explicit_context_dependent failed: invalid device context - no currently active context?")
        self._context = _stack.contexts[-1]

    def _give_back(self, handle: Any) -> None:
        context = self._context
        if not context._valid:
            return
        elsewhere = not (_stack.contexts and _stack.contexts[-1] is context)
        if elsewhere and threading.get_ident() != context.thread:
            sys.stderr.write(
                f"PyCUDA WARNING: {type(self).__name__} in out-of-thread context could not be cleaned up\n"
            )
            return
        if elsewhere:
            context.push()
        try:
            _call(self._destroy, handle)
        finally:
            if elsewhere:
                context.pop()


class Stream(_Held):
    _destroy = "cuStreamDestroy_v2"

    def __init__(self, flags: int = 0) -> None:
        super().__init__()
        handle = _void()
        _call("cuStreamCreate", ctypes.byref(handle), flags)
        self.handle = int(handle.value or 0)

    def synchronize(self) -> None:
        _call("cuStreamSynchronize", _void(self.handle))

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            self._give_back(_void(self.handle))


class Event(_Held):
    _destroy = "cuEventDestroy_v2"

    def __init__(self) -> None:
        super().__init__()
        handle = _void()
        _call("cuEventCreate", ctypes.byref(handle), 0)
        self.handle = int(handle.value or 0)

    def record(self, stream: Stream) -> Event:
        _call("cuEventRecord", _void(self.handle), _void(stream.handle))
        return self

    def time_since(self, earlier: Event) -> float:
        taken = ctypes.c_float()
        _call("cuEventElapsedTime_v2", ctypes.byref(taken), _void(earlier.handle), _void(self.handle))
        return taken.value

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            self._give_back(_void(self.handle))


class DeviceAllocation(_Held):
    _destroy = "cuMemFree_v2"

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        address = _size()
        _call("cuMemAlloc_v2", ctypes.byref(address), _size(nbytes))
        self._address, self._valid = address.value, True

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        if not self._valid:
            raise Error("device_allocation::free failed: invalid resource handle")
        self._valid = False
        self._give_back(_size(self._address))

    def __del__(self) -> None:
        if getattr(self, "_valid", False):
            self.free()


class PagelockedHostAllocation(_Held):
    _destroy = "cuMemFreeHost"

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__()
        address = _void()
        _call("cuMemHostAlloc", ctypes.byref(address), _size(max(1, int(np.prod(shape)) * dtype.itemsize)), 0)
        self._address, self._valid = int(address.value or 0), True
        self.__array_interface__ = {
            "data": (self._address, False),
            "shape": shape,
            "typestr": dtype.str,
            "version": 3,
        }

    def free(self) -> None:
        if not self._valid:
            raise Error("pagelocked_host_allocation::free failed: invalid resource handle")
        self._valid = False
        self._give_back(_void(self._address))

    def __del__(self) -> None:
        if getattr(self, "_valid", False):
            self.free()


class Device:
    def __init__(self, ordinal: int) -> None:
        device = ctypes.c_int()
        _call("cuDeviceGet", ctypes.byref(device), ordinal)
        self._device = device.value

    def name(self) -> str:
        text = ctypes.create_string_buffer(1024)
        _call("cuDeviceGetName", text, 1024, self._device)
        return text.value.decode()

    def compute_capability(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        _call("cuDeviceComputeCapability", ctypes.byref(major), ctypes.byref(minor), self._device)
        return major.value, minor.value

    def retain_primary_context(self) -> Context:
        handle = _void()
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(handle), self._device)
        return Context(int(handle.value or 0), self)


class Module(_Held):
    _destroy = "cuModuleUnload"

    def __init__(self, image: bytes) -> None:
        super().__init__()
        handle = _void()
        _call("cuModuleLoadDataEx", ctypes.byref(handle), image, 0, None, None)
        self.handle = int(handle.value or 0)

    def get_function(self, name: str) -> Function:
        handle = _void()
        _call("cuModuleGetFunction", ctypes.byref(handle), _void(self.handle), name.encode())
        return Function(self, int(handle.value or 0))

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            self._give_back(_void(self.handle))


class Function:
    def __init__(self, module: Module, handle: int) -> None:
        self._module, self._handle, self._format = module, handle, ""

    def prepare(self, parameters: str) -> Function:
        self._format = parameters
        return self

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: Stream, *arguments: Any, shared_size: int = 0
    ) -> None:
        _call("cuFuncSetBlockShape", _void(self._handle), *block)
        packed = struct.pack(self._format, *arguments)
        size = _size(len(packed))
        extra = (_void * 5)(1, ctypes.cast(ctypes.c_char_p(packed), _void), 2, ctypes.addressof(size), None)
        sides = [ctypes.c_uint(side) for side in (*grid, *block)]
        _call("cuLaunchKernel", _void(self._handle), *sides, shared_size, _void(stream.handle), None, extra)


def init(flags: int = 0) -> None:
    _call("cuInit", flags)


def get_driver_version() -> int:
    version = ctypes.c_int()
    _call("cuDriverGetVersion", ctypes.byref(version))
    return version.value


def mem_alloc(nbytes: int) -> DeviceAllocation:
    return DeviceAllocation(nbytes)


def mem_get_info() -> tuple[int, int]:
    free, total = _size(), _size()
    _call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def pagelocked_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.asarray(PagelockedHostAllocation(shape, np.dtype(dtype)))


def memcpy_htod_async(target: Any, source: np.ndarray, stream: Stream) -> None:
    _call(
        "cuMemcpyHtoDAsync_v2",
        _size(int(target)),
        _void(source.ctypes.data),
        _size(source.nbytes),
        _void(stream.handle),
    )


def memcpy_dtoh_async(target: np.ndarray, source: Any, stream: Stream) -> None:
    _call(
        "cuMemcpyDtoHAsync_v2",
        _void(target.ctypes.data),
        _size(int(source)),
        _size(target.nbytes),
        _void(stream.handle),
    )


def memcpy_htod(target: Any, source: np.ndarray) -> None:
    _call("cuMemcpyHtoD_v2", _size(int(target)), _void(source.ctypes.data), _size(source.nbytes))


def memcpy_dtoh(target: np.ndarray, source: Any) -> None:
    _call("cuMemcpyDtoH_v2", _void(target.ctypes.data), _size(int(source)), _size(target.nbytes))


def module_from_buffer(image: bytes) -> Module:
    return Module(image)


atexit.register(_abort_as_pycuda_does)  # the first that is registered is the last that is called
