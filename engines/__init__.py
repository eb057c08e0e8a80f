"""Engines: one small adapter per inference library, behind one protocol."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from mdsgen.engines.base import DEFAULT_OPTIONS, Engine, EngineOptions, onnx_file, provider_names
from mdsgen.errors import EngineError

__all__ = [
    "DEFAULT_OPTIONS",
    "ENGINES",
    "Engine",
    "EngineOptions",
    "first_that_opens",
    "load_library",
    "open_engine",
    "provider_names",
]

T = TypeVar("T")

_ADAPTERS = {
    "onnxruntime": ("mdsgen.engines.onnxruntime", "OnnxRuntimeEngine"),
    "openvino": ("mdsgen.engines.openvino", "OpenVinoEngine"),
    "tensorrt": ("mdsgen.engines.tensorrt", "TensorRtEngine"),
}
"""The adapters: module and class, imported when asked for. The first one runs everywhere."""

ENGINES = ("auto", *_ADAPTERS)
"""The names of the engines, the same in every command."""

ON_CPU = ("onnxruntime", "openvino")
"""Those that run on a processor alone."""


def open_engine(
    path: str | os.PathLike[str],
    engine: str = "auto",
    options: EngineOptions = DEFAULT_OPTIONS,
) -> Engine:
    """Open a graph file with the engine of that name; ``"auto"`` takes the best one that opens.

    Raises :class:`EngineError` where the name is unknown, or the engine is missing or cannot open the file.
    """
    return first_that_opens(engine, path, lambda name: _open(path, name, options), options)


def first_that_opens(
    engine: str, path: str | os.PathLike[str], open_with: Callable[[str], T], options: EngineOptions = DEFAULT_OPTIONS
) -> T:
    """What ``open_with`` makes of an engine's name: of the one asked for, or with ``"auto"`` of the first that opens.

    That is ONNX Runtime where its execution providers are named, TensorRT where there are plans beside the graph
    ``path``. Else it is ONNX Runtime, or OpenVINO where that is installed and a trial on this graph, once on a machine,
    has found it to be faster. Whatever keeps the faster one from running is said once, as a warning. Raises
    :class:`EngineError` where there is no graph to choose for, and what ``open_with`` raises.
    """
    if engine != "auto":
        return open_with(engine)
    path = onnx_file(path)
    if options.providers != DEFAULT_OPTIONS.providers:  # nobody else has any
        return open_with("onnxruntime")
    from mdsgen.engines.plans import has_plans  # for whoever leaves the choice open

    if has_plans(path):
        try:
            return open_with("tensorrt")
        except EngineError as error:
            warn_once(f"{error}; running on onnxruntime instead")
    elif importlib.util.find_spec("tensorrt"):
        folder = path.parent
        build = f"mdsgen-export --bundle {folder} --engine tensorrt"
        warn_once(f"TensorRT is installed, but {folder} has no plans: running on onnxruntime; build them with {build}")
    if importlib.util.find_spec("openvino"):
        from mdsgen.engines.trial import fastest

        try:
            return open_with(fastest(ON_CPU, path, options, lambda name: _open(path, name, options), warn_once))
        except EngineError as error:
            warn_once(f"{error}; running on onnxruntime instead")
    return open_with("onnxruntime")


@functools.cache
def warn_once(message: str) -> None:
    """Warn through ``logging``, which without a set-up writes to stderr; the same words only once in a process."""
    logging.getLogger("mdsgen").warning(message)


def load_library(engine: str) -> None:
    """Load what an engine of that name computes with, which opening a graph does otherwise.

    Raises :class:`EngineError` where the name is unknown, or the library is missing.
    """
    _adapter(engine).load_library()


def _open(path: str | os.PathLike[str], name: str, options: EngineOptions) -> Engine:
    opened: Engine = _adapter(name)(path, options)
    return opened


def _adapter(name: str) -> Any:
    if name not in list(_ADAPTERS):  # also what has no hash
        raise EngineError(f"engine {name!r} is unknown: expected one of {', '.join(ENGINES)}")
    module, adapter = _ADAPTERS[name]
    return getattr(importlib.import_module(module), adapter)
