"""OpenVINO: on x86 processors, the engine for those that compute in bfloat16.

Measured on one core of an Intel Xeon with AMX, OpenVINO 2026.4, processor time of the demo model's guided step: 32 ms
in FP32 and 11 ms in bfloat16, where ONNX Runtime takes 33 to 40 ms. With an axis left open it is 1.4 times slower, so a
bound loop is compiled for the shapes that it is bound to.
"""

from __future__ import annotations

import ctypes
import functools
import json
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
from mdsgen.engines.optimised import COMPILED, INTERFACE, KeptGraph
from mdsgen.errors import EngineError
from mdsgen.tensor import TensorSpec

_DEVICE = "CPU"
_AS_IT_IS = "as it is"

Interface = tuple[list[TensorSpec], list[TensorSpec]]
"""The inputs and the outputs of a graph."""


class OpenVinoEngine(Engine):
    """An ONNX file in OpenVINO, on the CPU. Always folds constants; has no execution providers.

    A network that was kept is opened without its ONNX file. A function that :meth:`bind` returned holds on to its
    network, which with open axes is one of its own: its memory comes back when that is let go.
    """

    name = "openvino"

    def __init__(self, path: str | os.PathLike[str], options: EngineOptions = DEFAULT_OPTIONS) -> None:
        path = onnx_file(path)
        self._openvino = import_openvino()
        self._core = _core()
        with opening, errors_as(f"{path.stem}: OpenVINO could not open it"):
            self.bfloat16 = options.bfloat16 and _has_bfloat16(self._core)
            self._settings, self._options, self._path = _settings(self.bfloat16, options), options, path
            self._model: Any = None
            kept = self._kept(_AS_IT_IS)
            found = self._found(kept) if kept else None
            self._network: Any = found[0] if found else None
            if found is None and not self._read().is_dynamic():
                self._network = self._compiled(self._read(), kept)
            inputs, outputs = found[1] if found else _interface(path.stem, self._read())
            self._request = self._network.create_infer_request() if self._network else None
        super().__init__(path.stem, inputs, outputs)

    @classmethod
    def load_library(cls) -> None:
        _core()

    def _read(self) -> Any:
        """The graph of the ONNX file."""
        if self._model is None:
            self._model = self._core.read_model(str(self._path))
        return self._model

    def _kept(self, shapes: str) -> KeptGraph | None:
        """Where the network for inputs of these shapes is kept; None where nothing may be."""
        if self._options.checksum is None:
            return None
        return KeptGraph(self._path.stem, self._options, f"{self.name} {self._openvino.__version__} {shapes}")

    def _found(self, kept: KeptGraph) -> tuple[Any, Interface] | None:
        """The network as it was kept when it was compiled before, and its inputs and outputs; None where it is not."""
        folder = kept.find()
        if folder is None:
            return None
        with suppress(OSError, RuntimeError, ValueError, TypeError, KeyError):
            interface = _read_interface(folder / INTERFACE)
            network = self._core.import_model((folder / COMPILED).read_bytes(), _DEVICE, self._settings)
            return network, interface
        kept.forget()
        return None

    def _compiled(self, model: Any, kept: KeptGraph | None) -> Any:
        """The network, newly compiled, and kept for the next time."""
        compile_model = partial(self._core.compile_model, model, _DEVICE, self._settings)
        interface = _interface(self._path.stem, model)
        return kept.keep(partial(_compiled_into, compile_model, interface)) if kept else compile_model()

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with errors_as(f"{self.graph}: OpenVINO could not run it"):
            if self._request is None:  # with open axes: not before it is known to be needed in this form
                with opening:
                    self._network = self._compiled(self._read(), self._kept(_AS_IT_IS))
                    self._request = self._network.create_infer_request()
            self._request.infer({name: np.ascontiguousarray(array) for name, array in feeds.items()})
            return {spec.name: self._request.get_tensor(spec.name).data.copy() for spec in self.outputs}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        arrays = {**inputs, **outputs}
        with opening, errors_as(f"{self.graph}: OpenVINO could not bind it"):
            request = self._network_for(inputs).create_infer_request()
            for name, array in arrays.items():
                request.set_tensor(name, self._openvino.Tensor(array, shared_memory=True))

        def replay() -> None:
            with errors_as(f"{self.graph}: OpenVINO could not run it"):
                request.infer()

        replay.__dict__["arrays"] = arrays  # OpenVINO has their addresses alone
        return replay

    def _network_for(self, inputs: dict[str, np.ndarray]) -> Any:
        """The network that is fastest for these inputs: with open axes one that was compiled for their shapes."""
        if all(isinstance(length, int) for spec in self.inputs for length in spec.shape):
            return self._network
        kept = self._kept(" ".join(str(list(array.shape)) for array in inputs.values()))
        found = self._found(kept) if kept else None
        if found is not None:
            return found[0]
        model = self._read().clone()
        model.reshape({name: list(array.shape) for name, array in inputs.items()})
        return self._compiled(model, kept)

    def _close(self) -> None:
        del self._request, self._network, self._model, self._core


def _interface(graph: str, model: Any) -> Interface:
    return _specs(graph, model.inputs), _specs(graph, model.outputs)


def _read_interface(path: Path) -> Interface:
    told = json.loads(path.read_text("utf-8"))
    inputs, outputs = (
        [TensorSpec(name, dtype, tuple(shape)) for name, dtype, shape in told[kind]] for kind in ("inputs", "outputs")
    )
    return inputs, outputs


def _write_interface(interface: Interface, path: Path) -> None:
    told = (([spec.name, str(spec.dtype), spec.shape] for spec in specs) for specs in interface)
    path.write_text(json.dumps({kind: list(specs) for kind, specs in zip(("inputs", "outputs"), told, strict=True)}))


def _compiled_into(compile_model: Callable[[], Any], interface: Interface, folder: Path | None) -> Any:
    """The compiled network; and kept in ``folder``, if any."""
    compiled = compile_model()
    if folder is not None:
        _write_interface(interface, folder / INTERFACE)
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
