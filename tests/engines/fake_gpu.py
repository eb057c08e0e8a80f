"""A GPU made of host memory, behind the calls of pycuda and of cuda-bindings that the project makes.

Addresses are real ones, so that whatever reads and writes them finds what it should; what is put on the stream runs at
once, or is kept while the stream is captured. Every call is counted, and any one of them can be made to fail. What is
freed twice, used after it was freed, or still there at the end is noticed.
"""

from __future__ import annotations

import ctypes
import enum
import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels import Level, StepCoefficients, add_marks, guided_step
from tests.kernels.resizing import prepare_rgb

ALIGNMENT = 256


class FakeError(Exception):
    """What pycuda would raise."""


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class FakeGpu:
    """The device's state, and how many calls there were. ``fail_at`` is the number of the one that fails, from 0."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.fail_on: set[str] = set()
        self.memory: dict[int, np.ndarray] = {}
        self.pinned: set[int] = set()
        self.contexts = 0
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.executables: dict[int, list[Callable[[], None]]] = {}
        self.capturing: list[Callable[[], None]] | None = None
        self.driver, self.bindings = _driver(self), _bindings(self)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put it where the project imports pycuda and cuda-bindings from."""
        for name, module in {"pycuda": ModuleType("pycuda"), "pycuda.driver": self.driver}.items():
            patch.setitem(__import__("sys").modules, name, module)
        for name in ("cuda", "cuda.bindings"):
            patch.setitem(__import__("sys").modules, name, ModuleType(name))
        patch.setitem(__import__("sys").modules, "cuda.bindings.driver", self.bindings)

    def call(self, name: str) -> bool:
        """Note a call; whether it is to fail."""
        self.calls.append(name)
        return len(self.calls) - 1 == self.fail_at or name in self.fail_on

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do it now, or keep it for the graph."""
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)

    def enqueue_on(self, stream: int, work: Callable[[], None]) -> bool:
        """As TensorRT does it; whether it could."""
        assert stream == 77
        self.enqueue(work)
        return True

    def view(self, address: int, count: int, dtype: str = "float32") -> np.ndarray:
        """Device memory as an array; it must be inside what is allocated."""
        nbytes = count * np.dtype(dtype).itemsize
        inside = [a for a, block in self.memory.items() if a <= address and address + nbytes <= a + block.nbytes]
        assert inside, f"{nbytes} bytes at {address:#x} are not allocated"
        return np.frombuffer((ctypes.c_byte * nbytes).from_address(address), dtype)

    def leaks(self) -> dict[str, int]:
        """What has not been given back. The context is the process's: see ``contexts``."""
        held = {
            "memory": len(self.memory),
            "pinned": len(self.pinned),
            "graphs": len(self.graphs),
            "executables": len(self.executables),
            "captures": int(self.capturing is not None),
        }
        return {what: count for what, count in held.items() if count}


class Allocation:
    def __init__(self, gpu: FakeGpu, nbytes: int) -> None:
        self._gpu = gpu
        self._block = np.full(nbytes + ALIGNMENT, 0xFF, np.uint8)  # not numbers: nobody may count on zeros
        start = int(self._block.ctypes.data)
        offset = -start % ALIGNMENT
        self._address = start + offset
        gpu.memory[self._address] = self._block[offset : offset + nbytes]

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        del self._gpu.memory[self._address]  # a KeyError where it is freed twice
        if self._gpu.call("mem_free"):
            raise FakeError("mem_free")


class PinnedOwner:
    def __init__(self, gpu: FakeGpu, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._gpu, self._array = gpu, np.empty(shape, dtype)
        self.__array_interface__ = self._array.__array_interface__
        gpu.pinned.add(id(self))

    def free(self) -> None:
        self._gpu.pinned.remove(id(self))
        if self._gpu.call("pinned_free"):
            raise FakeError("pinned_free")


def _driver(gpu: FakeGpu) -> ModuleType:
    module = ModuleType("pycuda.driver")

    def called(name: str) -> None:
        if gpu.call(name):
            raise FakeError(f"{name} failed: out of memory")

    class Stream:
        handle = 77

        def __init__(self, flags: int) -> None:
            assert flags == 1, "a stream that waits for the legacy one"
            called("Stream")

        def synchronize(self) -> None:
            assert gpu.capturing is None, "a captured stream cannot be waited for"
            called("synchronize")

    class Event:
        def __init__(self) -> None:
            called("Event")

        def record(self, stream: Stream) -> None:
            called("record")

        def time_since(self, earlier: Event) -> float:
            called("time_since")
            return 2.0

    class Context:
        def push(self) -> None:
            called("push")
            gpu.contexts += 1

        def pop(self) -> None:
            gpu.contexts -= 1
            called("pop")

        def detach(self) -> None:
            called("detach")

    class Device:
        def __init__(self, index: int) -> None:
            called("Device")

        def name(self) -> str:
            return "Fake GPU"

        def compute_capability(self) -> tuple[int, int]:
            return 8, 7

        def retain_primary_context(self) -> Context:
            called("retain_primary_context")
            return Context()

    def mem_alloc(nbytes: int) -> Allocation:
        called("mem_alloc")
        return Allocation(gpu, nbytes)

    def pagelocked_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        called("pagelocked_empty")
        return np.asarray(PinnedOwner(gpu, shape, dtype))

    def memcpy_htod_async(address: int, source: np.ndarray, stream: Stream) -> None:
        called("memcpy_htod_async")
        gpu.enqueue(lambda: gpu.view(address, source.size, str(source.dtype)).__setitem__(..., source.ravel()))

    def memcpy_dtoh_async(target: np.ndarray, address: int, stream: Stream) -> None:
        called("memcpy_dtoh_async")
        gpu.enqueue(lambda: target.ravel().__setitem__(..., gpu.view(address, target.size, str(target.dtype))))

    vars(module).update(
        {k: v for k, v in locals().items() if k not in ("module", "called", "gpu")},
        Error=FakeError,
        init=lambda: called("init"),
        get_driver_version=lambda: 12060,
        mem_get_info=lambda: ((1 << 30) - sum(block.nbytes for block in gpu.memory.values()), 2 << 30),
    )
    return module


def _bindings(gpu: FakeGpu) -> ModuleType:
    module = ModuleType("cuda.bindings.driver")
    failed = Result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED

    def begin(stream: int, mode: CaptureMode) -> tuple[Any, ...]:
        assert (stream, gpu.capturing) == (77, None)
        if gpu.call("cuStreamBeginCapture"):
            return (failed,)
        gpu.capturing = []
        return (Result.CUDA_SUCCESS,)

    def end(stream: int) -> tuple[Any, ...]:
        work, gpu.capturing = gpu.capturing, None
        assert work is not None, "nothing is captured"
        if gpu.call("cuStreamEndCapture"):
            return failed, 0
        gpu.graphs[len(gpu.calls)] = work
        return Result.CUDA_SUCCESS, len(gpu.calls)

    def instantiate(graph: int, flags: int) -> tuple[Any, ...]:
        if gpu.call("cuGraphInstantiate"):
            return Result.CUDA_ERROR_OUT_OF_MEMORY, 0
        gpu.executables[len(gpu.calls)] = gpu.graphs[graph]
        return Result.CUDA_SUCCESS, len(gpu.calls)

    def destroy(graph: int) -> tuple[Any, ...]:
        del gpu.graphs[graph]
        return (failed if gpu.call("cuGraphDestroy") else Result.CUDA_SUCCESS,)

    def destroy_executable(executable: int) -> tuple[Any, ...]:
        del gpu.executables[executable]
        return (failed if gpu.call("cuGraphExecDestroy") else Result.CUDA_SUCCESS,)

    def launch(executable: int, stream: int) -> tuple[Any, ...]:
        assert (stream, gpu.capturing) == (77, None)
        if gpu.call("cuGraphLaunch"):
            return (failed,)
        for work in gpu.executables[executable]:
            work()
        return (Result.CUDA_SUCCESS,)

    vars(module).update(
        CUresult=Result,
        CUstreamCaptureMode=CaptureMode,
        cuStreamBeginCapture=begin,
        cuStreamEndCapture=end,
        cuGraphInstantiate=instantiate,
        cuGraphDestroy=destroy,
        cuGraphExecDestroy=destroy_executable,
        cuGraphLaunch=launch,
    )
    return module


class FakeKernels:
    """The kernels of a clip in NumPy, on the fake device's addresses."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu

    def launch(self, launch: Any, stream: Any) -> None:
        if self._gpu.call(launch.function):
            raise KernelError("cannot launch")
        work = {"guided_step": self._step, "add_marks": self._mark, "prepare_rgb": self._prepare}[launch.function]
        self._gpu.enqueue(partial(work, launch))

    def close(self) -> None: ...

    def _step(self, launch: Any) -> None:
        latent, conditional, unconditional, clean, held, table, step, older, count = launch.arguments
        row = self._gpu.view(table, 12 * (step + 1)).reshape(-1, 12)[step].tolist()
        coefficients = StepCoefficients(*row[:4], *row[6:8], tuple(row[4:6]), row[8], Level(*row[10:]))
        now, with_, without = (self._gpu.view(at, count) for at in (latent, conditional, unconditional or conditional))
        history = self._gpu.view(clean, count * (1 + older)).reshape(1 + older, count)
        known = self._gpu.view(held, 3 * count).reshape(3, count)
        guided_step(now, with_, without, history[0], coefficients, list(history[1:]), known)

    def _mark(self, launch: Any) -> None:
        modulations, marks, rows, columns, width = launch.arguments
        matrices = self._gpu.view(modulations, launch.grid[1] * rows * width).reshape(-1, rows, width)
        add_marks(matrices, self._gpu.view(marks, columns * width).reshape(columns, width))

    def _prepare(self, launch: Any) -> None:
        out, pixels, width, height, size, _ = launch.arguments
        shape = (launch.grid[2], height, width, 3)
        frames = self._gpu.view(pixels, math.prod(shape), "uint8").reshape(shape)
        as_they_are = (height, width) == (size, size)  # the same result without the products of the filter
        prepared = frames.transpose(0, 3, 1, 2) / 255 if as_they_are else prepare_rgb(frames, size)
        self._gpu.view(out, prepared.size)[...] = prepared.ravel()
