"""OpenVINO: on x86 processors, the engine for those that compute in bfloat16.

Measured on one core of an Intel Xeon with AMX, OpenVINO 2026.4, processor time of the demo model's guided step: 32 ms
in FP32 and 11 ms in bfloat16, where ONNX Runtime takes 33 to 40 ms. With an axis left open it is 1.4 times slower, so a
bound loop is compiled for the shapes that it is bound to.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mdsgen import telemetry
from mdsgen.engines.base import DEFAULT_OPTIONS, Engine, EngineOptions, errors_as, onnx_file
from mdsgen.engines.forked import opening
from mdsgen.engines.optimised import COMPILED, KeptGraph
from mdsgen.errors import EngineError
from mdsgen.tensor import TensorSpec

_DEVICE = "CPU"


class OpenVinoEngine(Engine):
    """An ONNX file in OpenVINO, on the CPU. Always folds constants; has no execution providers.

    A function that :meth:`bind` returned holds on to a network of its own: its memory comes back when that is let go.
    """

    name = "openvino"

    def __init__(self, path: str | os.PathLike[str], options: EngineOptions = DEFAULT_OPTIONS) -> None:
        path = onnx_file(path)
        self._openvino = import_openvino()
        self._core = _core()
        with opening, errors_as(f"{path.stem}: OpenVINO could not open it"):
            self.bfloat16 = options.bfloat16 and _has_bfloat16(self._core)
            self._settings, self._options = _settings(self.bfloat16, options), options
            self._model = self._core.read_model(str(path))
            inputs, outputs = _specs(path.stem, self._model.inputs), _specs(path.stem, self._model.outputs)
            self._request: Any = None
            if not self._model.is_dynamic():
                self._request = self._compiled(self._model, path.stem)
        super().__init__(path.stem, inputs, outputs)

    @classmethod
    def load_library(cls) -> None:
        _core()

    def _compiled(self, model: Any, graph: str) -> Any:
        """The network on the device, as it was kept when it was compiled before, and a request that runs it."""
        compile_model = partial(self._core.compile_model, model, _DEVICE, self._settings)
        if self._options.checksum is None:
            return compile_model().create_infer_request()
        shapes = " ".join(str(port.partial_shape) for port in model.inputs)
        kept = KeptGraph(graph, self._options, f"{self.name} {self._openvino.__version__} {shapes}")
        found = kept.find()
        if found is not None:
            with suppress(OSError, RuntimeError):
                compiled = self._core.import_model((found / COMPILED).read_bytes(), _DEVICE, self._settings)
                return compiled.create_infer_request()
            kept.forget()
        return kept.keep(partial(_compiled_into, compile_model)).create_infer_request()

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with errors_as(f"{self.graph}: OpenVINO could not run it"):
            if self._request is None:  # with open axes: not before it is known to be needed in this form
                with opening:
                    self._request = self._compiled(self._model, self.graph)
            self._request.infer({name: np.ascontiguousarray(array) for name, array in feeds.items()})
            return {spec.name: self._request.get_tensor(spec.name).data.copy() for spec in self.outputs}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        arrays = {**inputs, **outputs}
        with opening, errors_as(f"{self.graph}: OpenVINO could not bind it"):
            model = self._model
            if model.is_dynamic():
                model = model.clone()
                model.reshape({name: list(array.shape) for name, array in inputs.items()})
            request = self._compiled(model, self.graph)
            for name, array in arrays.items():
                request.set_tensor(name, self._openvino.Tensor(array, shared_memory=True))

        def replay() -> None:
            with errors_as(f"{self.graph}: OpenVINO could not run it"):
                request.infer()

        replay.__dict__["arrays"] = arrays  # OpenVINO has their addresses alone
        return replay

    def _close(self) -> None:
        del self._request, self._model, self._core


def _compiled_into(compile_model: Callable[[], Any], folder: Path | None) -> Any:
    """The compiled network; and kept in ``folder``, if any."""
    compiled = compile_model()
    if folder is not None:
        stream = BytesIO()
        with suppress(RuntimeError):  # a device that cannot; then there is nothing to be found
            compiled.export_model(stream)
        (folder / COMPILED).write_bytes(stream.getvalue())
    return compiled


@functools.cache
def _core() -> Any:
    """One for the process, never let go.

    With each one OpenVINO gives the thread that makes it a stack for signals, and does not take it back when it frees
    that memory: the next signal that Python handles would be the process's last.
    """
    core = import_openvino().Core()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(core))  # survives the end of the interpreter, too
    return core


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.cache_clear)  # its threads are not there


def _has_bfloat16(core: Any) -> bool:
    return "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def _settings(bfloat16: bool, options: EngineOptions) -> dict[str, Any]:
    """One clip as fast as possible; bfloat16 only where it was asked for, which OpenVINO would choose by itself."""
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
    }
    if options.threads is not None:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    return settings


def import_openvino() -> ModuleType:
    """OpenVINO, without its telemetry. Raises :class:`EngineError` that says how to get it."""
    try:
        with telemetry.hidden("openvino_telemetry"):
            import openvino
    except ImportError as error:
        raise EngineError(f"OpenVINO cannot be imported ({error}): pip install 'mdsgen[openvino]'") from error
    module: ModuleType = openvino
    return module


def _specs(graph: str, ports: Iterable[Any]) -> list[TensorSpec]:
    """What the model says of its inputs or outputs; OpenVINO does not keep the names of open lengths: ``"?"``."""
    specs = []
    for port in ports:
        try:
            dtype = np.dtype(port.element_type.to_dtype())
        except RuntimeError as error:
            raise EngineError(f"{graph}: {port.any_name} has a type that NumPy has no dtype for: {error}") from error
        shape = tuple("?" if length.is_dynamic else length.get_length() for length in port.partial_shape)
        specs.append(TensorSpec(port.any_name, dtype.name, shape))
    return specs
