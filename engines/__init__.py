"""Engines: one small adapter per inference library, behind one protocol."""

from __future__ import annotations

import importlib
import os

from mdsgen.engines.base import DEFAULT_OPTIONS, Engine, EngineOptions
from mdsgen.errors import EngineError

__all__ = ["AVAILABLE", "DEFAULT_OPTIONS", "ENGINES", "Engine", "EngineOptions", "open_engine"]

ENGINES = ("auto", "onnxruntime", "openvino", "tensorrt")
"""All names that there will be, the same in every command."""

_ADAPTERS = {"onnxruntime": ("mdsgen.engines.onnxruntime", "OnnxRuntimeEngine")}
"""The adapters of this version, the best first: module and class, imported when asked for."""

AVAILABLE = ("auto", *_ADAPTERS)
"""The names that this version can open."""


def open_engine(
    path: str | os.PathLike[str],
    engine: str = "auto",
    options: EngineOptions = DEFAULT_OPTIONS,
) -> Engine:
    """Open a graph file with the engine of that name; ``"auto"`` takes the best one of this version.

    Raises :class:`EngineError` where the name is unknown, or the engine is missing or cannot open the file.
    """
    if engine not in ENGINES:
        raise EngineError(f"engine {engine!r} is unknown: expected one of {', '.join(ENGINES)}")
    name = next(iter(_ADAPTERS)) if engine == "auto" else engine
    if name not in _ADAPTERS:
        raise EngineError(f"engine {name!r} is not part of this version: use {' or '.join(_ADAPTERS)}")
    module, adapter = _ADAPTERS[name]
    opened: Engine = getattr(importlib.import_module(module), adapter)(path, options)
    return opened
