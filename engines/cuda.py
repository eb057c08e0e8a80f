"""One GPU: memory, a stream, events, and what is on the stream captured as a graph. All CUDA calls of engines are here.

pycuda carries all of it but the capture, which it does not know; NVIDIA's own bindings do that on pycuda's stream. Both
speak the driver's interface, so that there is no CUDA runtime whose version would have to match the driver's.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np

from mdsgen.engines.base import errors_as
from mdsgen.errors import EngineError

_MEBIBYTE = 1 << 20


class Memory:
    """Device memory with one owner: an address until it is freed. Freeing twice is harmless."""

    def __init__(self, allocation: Any, nbytes: int) -> None:
        self._allocation: Any | None = allocation
        self.address, self.nbytes = int(allocation), nbytes

    def free(self) -> None:
        """Give the memory back."""
        allocation, self._allocation = self._allocation, None
        if allocation is not None:
            with errors_as("CUDA could not free device memory"):
                allocation.free()


class Pinned:
    """Host memory that the GPU copies from and to by itself: ``array`` until it is freed."""

    def __init__(self, array: np.ndarray) -> None:
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
            with errors_as("CUDA could not free pinned memory"):
                owner.free()


class Event:
    """A point on the stream."""

    def __init__(self, event: Any) -> None:
        self._event = event

    def seconds_since(self, earlier: Event) -> float:
        """Between two points that the stream has passed."""
        with errors_as("CUDA could not time the stream"):
            return float(self._event.time_since(earlier._event)) / 1000.0  # milliseconds


class Device:
    """The GPU's primary context, which TensorRT uses too, and pycuda's ``stream``. It is its opener's thread's."""

    _shared: Device | None = None
    _users = 0

    def __init__(self, index: int = 0) -> None:
        self._driver = _import("pycuda.driver", "pycuda")
        with errors_as("CUDA could not use the GPU"):
            self._driver.init()
            device = self._driver.Device(index)
            self.name: str = device.name()
            self.compute_capability: str = "{}.{}".format(*device.compute_capability())
            self.cuda: str = _version(self._driver.get_driver_version())
            self._context = device.retain_primary_context()
            self._context.push()
            try:
                self.stream: Any = self._driver.Stream()
            except BaseException:
                self._context.pop()
                raise

    @classmethod
    def acquire(cls) -> Device:
        """The process's one device, opened for its first user; every user calls :meth:`release` once."""
        if Device._shared is None:
            Device._shared = cls()
        Device._users += 1
        return Device._shared

    def release(self) -> None:
        """The last user's release closes the device."""
        Device._users -= 1
        if Device._users == 0:
            Device._shared = None
            del self.stream
            with errors_as("CUDA could not close the GPU"):
                self._context.pop()

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT and the driver's own interface know it."""
        return int(self.stream.handle)

    def allocate(self, nbytes: int) -> Memory:
        """Device memory, aligned as TensorRT wants it (256 bytes)."""
        with errors_as(f"CUDA could not allocate {nbytes / _MEBIBYTE:.1f} MiB of device memory"):
            return Memory(self._driver.mem_alloc(nbytes), nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Pinned:
        """Zeros in pinned host memory."""
        with errors_as("CUDA could not allocate pinned memory"):
            array: np.ndarray = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        array[...] = 0
        return Pinned(array)

    def upload(self, address: int, source: Pinned) -> None:
        """Copy to the device, once the stream gets there."""
        with errors_as("CUDA could not copy to the device"):
            self._driver.memcpy_htod_async(address, source.array, self.stream)

    def download(self, target: Pinned, address: int) -> None:
        """Copy from the device, once the stream gets there."""
        with errors_as("CUDA could not copy from the device"):
            self._driver.memcpy_dtoh_async(target.array, address, self.stream)

    def event(self) -> Event:
        """The point on the stream after all that is on it now."""
        with errors_as("CUDA could not record an event"):
            event = self._driver.Event()
            event.record(self.stream)
        return Event(event)

    def synchronize(self) -> None:
        """Wait until the stream is empty. What failed on the device is raised here."""
        with errors_as("CUDA could not finish what is on the stream"):
            self.stream.synchronize()

    def free_memory(self) -> int:
        """Bytes of device memory that nobody uses."""
        with errors_as("CUDA could not ask for free memory"):
            return int(self._driver.mem_get_info()[0])

    def capture(self, enqueue: Callable[[], None]) -> CapturedGraph:
        """What ``enqueue`` puts on the stream, as a graph; nothing of it runs now.

        The capture is ended whatever happens, so that the stream stays usable. Raises :class:`EngineError` where CUDA
        refuses, and whatever ``enqueue`` raises.
        """
        bindings = _import("cuda.bindings.driver", "cuda-bindings")
        with errors_as("CUDA could not capture the stream"):
            return _capture(bindings, self.stream_handle, enqueue)


class CapturedGraph:
    """All that was captured, ready to be launched as often as wanted in one call."""

    def __init__(self, bindings: ModuleType, executable: Any, stream: int) -> None:
        self._bindings, self._executable, self._stream = bindings, executable, stream

    def launch(self) -> None:
        """Put the whole graph on the stream."""
        _check("launch the graph", self._bindings.cuGraphLaunch(self._executable, self._stream))

    def free(self) -> None:
        """Let the graph go. Freeing twice is harmless."""
        executable, self._executable = self._executable, None
        if executable is not None:
            _check("destroy the graph", self._bindings.cuGraphExecDestroy(executable))


def _capture(bindings: ModuleType, stream: int, enqueue: Callable[[], None]) -> CapturedGraph:
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
    captured = CapturedGraph(bindings, executable, stream)
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
