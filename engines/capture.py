"""What is put on a GPU's stream, captured as a graph by NVIDIA's own bindings: pycuda knows no graphs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mdsgen.errors import EngineError

if TYPE_CHECKING:
    from mdsgen.engines.cuda import Device


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


def capture(bindings: ModuleType, device: Device, enqueue: Callable[[], None]) -> CapturedGraph:
    """As :meth:`~mdsgen.engines.cuda.Device.capture`, with NVIDIA's own ``bindings``."""
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
