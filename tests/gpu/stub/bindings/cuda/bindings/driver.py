"""What of cuda.bindings.driver is in use, over the same library: a tuple of a result and what the call gives."""

from __future__ import annotations

import ctypes
import enum
from typing import Any

_cuda = ctypes.CDLL("libcuda.so.1")
_void = ctypes.c_void_p


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CUstreamCaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_RELAXED = range(3)


class CUgraph(int):
    """A handle."""


class CUgraphExec(int):
    """Another one: the bindings take neither for the other."""


def cuStreamBeginCapture(stream: int, mode: CUstreamCaptureMode) -> tuple[Any, ...]:  # noqa: N802
    return (CUresult(_cuda.cuStreamBeginCapture_v2(_void(stream), int(CUstreamCaptureMode(mode)))),)


def cuStreamEndCapture(stream: int) -> tuple[Any, ...]:  # noqa: N802
    graph = _void()
    return CUresult(_cuda.cuStreamEndCapture(_void(stream), ctypes.byref(graph))), CUgraph(graph.value or 0)


def cuGraphInstantiate(graph: CUgraph, flags: int) -> tuple[Any, ...]:  # noqa: N802
    made = _void()
    result = _cuda.cuGraphInstantiateWithFlags(ctypes.byref(made), _handle(graph, CUgraph), ctypes.c_ulonglong(flags))
    return CUresult(result), CUgraphExec(made.value or 0)


def cuGraphDestroy(graph: CUgraph) -> tuple[Any, ...]:  # noqa: N802
    return (CUresult(_cuda.cuGraphDestroy(_handle(graph, CUgraph))),)


def cuGraphExecDestroy(executable: CUgraphExec) -> tuple[Any, ...]:  # noqa: N802
    return (CUresult(_cuda.cuGraphExecDestroy(_handle(executable, CUgraphExec))),)


def cuGraphLaunch(executable: CUgraphExec, stream: int) -> tuple[Any, ...]:  # noqa: N802
    return (CUresult(_cuda.cuGraphLaunch(_handle(executable, CUgraphExec), _void(stream))),)


def _handle(value: Any, kind: type) -> ctypes.c_void_p:
    if not isinstance(value, kind):
        raise TypeError(f"argument must be {kind.__name__}, not {type(value).__name__}")
    return _void(int(value))
