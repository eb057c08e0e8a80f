"""One GPU: memory, a stream, events, and what is on the stream captured as a graph. All CUDA calls of engines are here.

pycuda carries all of it but the capture, which it does not know; NVIDIA's own bindings do that on pycuda's stream. Both
speak the driver's interface, so that there is no CUDA runtime whose version would have to match the driver's.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from mdsgen.engines.base import errors_as
from mdsgen.errors import EngineError, MdsgenError

_MEBIBYTE = 1 << 20
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: waits for nothing on the legacy stream, whoever uses that


class Memory:
    """Device memory with one owner: an address until it is freed. Freeing twice is harmless."""

    def __init__(self, device: Device, allocation: Any, nbytes: int) -> None:
        self._device, self._allocation = device, allocation
        self.address, self.nbytes = int(allocation), nbytes

    def free(self) -> None:
        """Give the memory back."""
        allocation, self._allocation = self._allocation, None
        if allocation is not None:
            with self._device.calling("free device memory"):
                allocation.free()


class Pinned:
    """Host memory that the GPU copies from and to by itself: ``array`` until it is freed."""

    def __init__(self, device: Device, array: np.ndarray) -> None:
        self._device = device
        self._array: np.ndarray | None = array

    @property
    def array(self) -> np.ndarray:
        if self._array is None:
            raise EngineError("pinned memory is used after it was freed")
        return self._array

    def free(self) -> None:
        """Give the memory back; the array is gone with it."""
        array, self._array = self._array, None
        if array is not None:
            owner: Any = array.base
            with self._device.calling("free pinned memory"):
                owner.free()


class Event:
    """A point on the stream."""

    def __init__(self, device: Device, event: Any) -> None:
        self._device, self._event = device, event

    def seconds_since(self, earlier: Event) -> float:
        """Between two points that the stream has passed."""
        with self._device.calling("time the stream"):
            return float(self._event.time_since(earlier._event)) / 1000.0  # milliseconds


class Closable(Protocol):
    """What holds something on the device."""

    def close(self) -> None: ...


class Device:
    """The GPU's primary context, which TensorRT uses too, and pycuda's stream: one per process, kept until it ends.

    pycuda never gives a primary context back, and ends a process that has one on a thread's stack at its exit. So the
    context is opened once, put on the stack of every thread that calls, and taken from it when the thread ends.
    """

    _shared: Device | None = None
    _opening = threading.Lock()

    def __init__(self, index: int = 0) -> None:
        self._driver = _import("pycuda.driver", "pycuda")
        self._process = os.getpid()
        self._current = threading.local()
        self._open: weakref.WeakSet[Closable] = weakref.WeakSet()
        with errors_as("CUDA could not use the GPU"):
            self._driver.init()
            device = self._driver.Device(index)
            self.name: str = device.name()
            self.compute_capability: str = "{}.{}".format(*device.compute_capability())
            self.cuda: str = _version(self._driver.get_driver_version())
            self._context = device.retain_primary_context()
        self.make_current()
        try:
            with errors_as("CUDA could not make a stream"):
                self._stream: Any = self._driver.Stream(_NON_BLOCKING)
        except BaseException:
            self._leave()
            raise

    @classmethod
    def shared(cls) -> Device:
        """The process's one device, opened by the first who asks, and current in the calling thread."""
        with cls._opening:
            if cls._shared is None:
                opened = cls()
                atexit.register(opened._finish)
                os.register_at_fork(before=opened._leave)
                cls._shared = opened
        cls._shared.make_current()
        return cls._shared

    def make_current(self) -> None:
        """Make the device current in the calling thread, for whatever calls CUDA beside this class.

        Raises :class:`EngineError` where it cannot be, as after a fork.
        """
        if getattr(self._current, "stay", None) is not None:
            return
        if os.getpid() != self._process:
            raise EngineError("a GPU that was opened before the process forked is of no use after it: open it there")
        with errors_as("CUDA could not use the GPU in this thread"):
            self._current.stay = _Stay(self._context)

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Call CUDA in here: the device is current, and errors become one line, ``what`` CUDA could not do."""
        self.make_current()
        with errors_as(f"CUDA could not {what}"):
            yield

    def close_at_exit(self, user: Closable) -> None:
        """Close ``user`` when the process ends, should it still be open: before the device goes."""
        self._open.add(user)

    @property
    def stream(self) -> Any:
        """pycuda's stream, current in the calling thread."""
        self.make_current()
        return self._stream

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT and the driver's own interface know it, current in the calling thread."""
        return int(self.stream.handle)

    def allocate(self, nbytes: int) -> Memory:
        """Device memory, aligned as TensorRT wants it (256 bytes)."""
        with self.calling(f"allocate {nbytes / _MEBIBYTE:.1f} MiB of device memory"):
            return Memory(self, self._driver.mem_alloc(nbytes), nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Pinned:
        """Zeros in pinned host memory."""
        with self.calling("allocate pinned memory"):
            array: np.ndarray = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        array[...] = 0
        return Pinned(self, array)

    def upload(self, address: int, source: Pinned) -> None:
        """Copy to the device, once the stream gets there."""
        with self.calling("copy to the device"):
            self._driver.memcpy_htod_async(address, source.array, self._stream)

    def download(self, target: Pinned, address: int) -> None:
        """Copy from the device, once the stream gets there."""
        with self.calling("copy from the device"):
            self._driver.memcpy_dtoh_async(target.array, address, self._stream)

    def event(self) -> Event:
        """The point on the stream after all that is on it now."""
        with self.calling("record an event"):
            event = self._driver.Event()
            event.record(self._stream)
        return Event(self, event)

    def synchronize(self) -> None:
        """Wait until the stream is empty. What failed on the device is raised here."""
        with self.calling("finish what is on the stream"):
            self._stream.synchronize()

    def free_memory(self) -> int:
        """Bytes of device memory that nobody uses."""
        with self.calling("ask for free memory"):
            return int(self._driver.mem_get_info()[0])

    def capture(self, enqueue: Callable[[], None]) -> CapturedGraph:
        """What ``enqueue`` puts on the stream, as a graph; nothing of it runs now.

        The capture is ended whatever happens, so that the stream stays usable. Raises :class:`EngineError` where CUDA
        refuses, and whatever ``enqueue`` raises.
        """
        bindings = _import("cuda.bindings.driver", "cuda-bindings")
        with self.calling("capture the stream"):
            return _capture(bindings, self, enqueue)

    def _leave(self) -> None:
        """Take the context from this thread's stack; the next call puts it there again."""
        stay, self._current.stay = getattr(self._current, "stay", None), None
        if stay is not None:
            stay.end()

    def _finish(self) -> None:
        """At the end of the process: whatever is still open, then this thread's context."""
        if os.getpid() != self._process:
            return
        for user in list(self._open):
            with suppress(MdsgenError):
                user.close()
        self._stream = None  # destroyed while its context is there
        self._leave()
        with suppress(Exception):  # or pycuda does it wrongly, when its object goes
            self._context.detach()


class _Stay:
    """A context on one thread's stack, until the thread ends and its local data with it."""

    def __init__(self, context: Any) -> None:
        context.push()
        self._context: Any = context

    def end(self) -> None:
        context, self._context = self._context, None
        if context is None:
            return
        try:
            context.pop()
        except Exception:  # a lost device's; but pycuda's stack must not keep it
            with suppress(Exception):
                context.detach()

    def __del__(self) -> None:
        if hasattr(self, "_context"):  # it was put there
            self.end()


class CapturedGraph:
    """All that was captured, ready to be launched as often as wanted in one call."""

    def __init__(self, bindings: ModuleType, executable: Any, device: Device) -> None:
        self._bindings, self._executable, self._device = bindings, executable, device

    def launch(self) -> None:
        """Put the whole graph on the stream. Raises :class:`EngineError` once it was freed."""
        if self._executable is None:
            raise EngineError("a captured graph is used after it was freed")
        _check("launch the graph", self._bindings.cuGraphLaunch(self._executable, self._device.stream_handle))

    def free(self) -> None:
        """Let the graph go. Freeing twice is harmless."""
        executable, self._executable = self._executable, None
        if executable is not None:
            with self._device.calling("destroy the graph"):
                _check("destroy the graph", self._bindings.cuGraphExecDestroy(executable))


def _capture(bindings: ModuleType, device: Device, enqueue: Callable[[], None]) -> CapturedGraph:
    stream = device.stream_handle
    mode = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    _check("begin the capture", bindings.cuStreamBeginCapture(stream, mode))
    try:
        with _no_collection():
            enqueue()
    except BaseException:
        with suppress(EngineError):  # the first error is the one to tell
            _check("", bindings.cuGraphDestroy(_check("", bindings.cuStreamEndCapture(stream))))
        raise
    graph = _check("end the capture", bindings.cuStreamEndCapture(stream))
    try:
        executable = _check("instantiate the graph", bindings.cuGraphInstantiate(graph, 0))
    finally:
        destroyed = bindings.cuGraphDestroy(graph)
    captured = CapturedGraph(bindings, executable, device)
    try:
        _check("destroy the graph's description", destroyed)
    except EngineError:
        captured.free()
        raise
    return captured


def _import(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if "libcuda" in str(error):
            raise EngineError(
                f"there is no NVIDIA driver here ({error}), which TensorRT needs: use the engine onnxruntime"
            ) from error
        raise EngineError(f"{package} cannot be imported ({error}): pip install 'mdsgen[tensorrt]'") from error


def _version(number: int) -> str:
    """CUDA's way to number versions: 12060 is 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _check(what: str, returned: tuple[Any, ...]) -> Any:
    """The value in what cuda-bindings returned: a result, and a value where there is one."""
    result, *values = returned
    if int(result) != 0:
        raise EngineError(f"CUDA could not {what}: {getattr(result, 'name', result)}")
    return values[0] if values else None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's collector: what it might free on the device would end a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
