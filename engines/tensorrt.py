"""TensorRT: plans built on the device (``mdsgen.export.tensorrt``), run by name, all networks in one activation memory.

Written against 8.5 to 11 by asking for what is there: the interface has changed, and Jetsons stay with old versions.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mdsgen.engines.base import DEFAULT_OPTIONS, EngineOptions
from mdsgen.engines.cuda import Device, Memory
from mdsgen.engines.device import DeviceEngine
from mdsgen.engines.plans import Machine, PlanRecord, find_plan, read_plan, rebuild
from mdsgen.engines.staging import Staging
from mdsgen.errors import EngineError
from mdsgen.tensor import TensorSpec

_LEAST_BYTES = 256  # of an activation memory: a network may need none, and null is no address


class TensorRtEngine(DeviceEngine):
    """The plan of an ONNX file for this machine. What a failed call says is TensorRT's own last error."""

    name = "tensorrt"

    def __init__(self, path: str | os.PathLike[str], options: EngineOptions = DEFAULT_OPTIONS) -> None:
        path = Path(path)
        self._trt = import_tensorrt()
        self.device = Device.shared()
        plan, record = find_plan(path, machine_of(self._trt, self.device), options.plans)
        self._runtime = _created(lambda: self._trt.Runtime(logger(self._trt)), path.stem, "start its runtime for")
        self._engine = self._deserialize(path.stem, plan, record)
        self._context = self._create_context(path.stem)
        self._own_activations: Memory | None = None
        self._has_activations = False
        self._staging: Staging | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.shape_changes = 0
        inputs, outputs = self._specs(path.stem)
        super().__init__(path.stem, inputs, outputs)
        self.device.close_at_exit(self)

    def _deserialize(self, graph: str, plan: Path, record: PlanRecord) -> Any:
        if record.options.get("version_compatible"):
            self._runtime.engine_host_code_allowed = True  # such a plan has code of its own; its SHA-256 is checked
        engine = self._runtime.deserialize_cuda_engine(read_plan(plan, record))
        if engine is None:
            raise EngineError(f"{graph}: TensorRT could not open {plan}: {last_error()}; {rebuild(plan.parent)}")
        return engine

    def _create_context(self, graph: str) -> Any:
        """A context without activation memory of its own."""
        if hasattr(self._trt, "ExecutionContextAllocationStrategy"):
            strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
            return _created(lambda: self._engine.create_execution_context(strategy), graph, "make a context for")
        return _created(self._engine.create_execution_context_without_device_memory, graph, "make a context for")

    def _specs(self, graph: str) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """What the plan takes and gives; a length that is chosen at run time is ``"?"``."""
        specs: dict[Any, list[TensorSpec]] = {self._trt.TensorIOMode.INPUT: [], self._trt.TensorIOMode.OUTPUT: []}
        for name in map(self._engine.get_tensor_name, range(self._engine.num_io_tensors)):
            if self._engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
                raise EngineError(f"{graph}: {name} is a tensor on the host, which no graph of a bundle has")
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
            shape = tuple("?" if n < 0 else int(n) for n in self._engine.get_tensor_shape(name))
            specs[self._engine.get_tensor_mode(name)].append(TensorSpec(name, dtype, shape))
        return specs[self._trt.TensorIOMode.INPUT], specs[self._trt.TensorIOMode.OUTPUT]

    @property
    def activation_bytes(self) -> int:
        for name in ("device_memory_size_v2", "device_memory_size"):
            if hasattr(self._engine, name):
                return max(_LEAST_BYTES, int(getattr(self._engine, name)))
        raise EngineError(f"{self.graph}: this TensorRT does not say how much memory a plan needs")

    def use_activations(self, memory: Memory) -> None:
        if memory.nbytes < self.activation_bytes:
            raise EngineError(f"{self.graph}: {memory.nbytes} bytes are too few, it runs in {self.activation_bytes}")
        if hasattr(self._context, "set_device_memory"):
            self._context.set_device_memory(memory.address, memory.nbytes)
        else:
            self._context.device_memory = memory.address
        self._has_activations = True

    def length_range(self, name: str, axis: int) -> tuple[int, int]:
        fixed = int(self._engine.get_tensor_shape(name)[axis])
        if fixed >= 0:
            return fixed, fixed
        shortest, _, longest = self._engine.get_tensor_profile_shape(name, 0)
        return int(shortest[axis]), int(longest[axis])

    def set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if self._shapes.get(name) == shape:
            return
        for axis, length in enumerate(shape):
            least, most = self.length_range(name, axis)
            if not least <= length <= most:
                raise EngineError(
                    f"{self.graph}: the plan takes {name} of length {least} to {most}, not {length}: build plans for it"
                    " with mdsgen-export --engine tensorrt --max-steps or --fixed-steps"
                )
        if not self._context.set_input_shape(name, shape):
            raise EngineError(f"{self.graph}: TensorRT refused the shape {list(shape)} of {name}: {last_error()}")
        self._shapes[name] = shape
        self.shape_changes += 1

    def output_shape(self, name: str) -> tuple[int, ...]:
        return tuple(map(int, self._context.get_tensor_shape(name)))

    def set_address(self, name: str, address: int) -> None:
        if not self._context.set_tensor_address(name, address):
            raise EngineError(f"{self.graph}: TensorRT refused the address of {name}: {last_error()}")

    def enqueue(self) -> None:
        self._require_open()
        if not self._has_activations:
            self._own_activations = self.device.allocate(self.activation_bytes)
            self.use_activations(self._own_activations)
        if not self._context.execute_async_v3(self.device.stream_handle):
            raise EngineError(f"{self.graph}: TensorRT could not run it: {last_error()}")

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in self._staged(feeds).run(feeds).items()}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        def replay() -> None:
            for name, array in self._staged(inputs).run(inputs).items():
                np.copyto(outputs[name], array)

        return replay

    def _staged(self, feeds: Mapping[str, np.ndarray]) -> Staging:
        """Buffers for feeds of these shapes: kept until others come."""
        shapes = {name: array.shape for name, array in feeds.items()}
        if self._staging is None or self._staging.shapes != shapes:
            self._drop_staging()
            self._staging = Staging(self, shapes)
        return self._staging

    def _drop_staging(self) -> None:
        staging, self._staging = self._staging, None
        if staging is not None:
            staging.free()

    def _close(self) -> None:
        with ExitStack() as closing:  # goes through all of it whatever fails
            self.device.make_current()
            if self._own_activations is not None:
                closing.callback(self._own_activations.free)
            closing.callback(self._drop_staging)
            del self._context, self._engine, self._runtime  # in this order


def import_tensorrt() -> ModuleType:
    """TensorRT's module. Raises :class:`EngineError` that says how to get it."""
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        raise EngineError(
            f"TensorRT cannot be imported ({error}): pip install 'mdsgen[tensorrt]', on a Jetson JetPack brings it"
        ) from error


def machine_of(trt: ModuleType, device: Device) -> Machine:
    """What plans that run here must have been built for."""
    return Machine(str(trt.__version__), device.name, device.compute_capability, device.cuda)


_ERRORS: list[str] = []


@functools.cache
def logger(trt: ModuleType) -> Any:
    """TensorRT's one logger of the process: keeps the last error, says nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                _ERRORS[:] = [" ".join(message.split())]

    return Logger()


def last_error() -> str:
    """What TensorRT last complained about."""
    return _ERRORS[0] if _ERRORS else "it gives no reason"


def _created(create: Callable[[], Any], graph: str, verb: str) -> Any:
    """What ``create`` makes; TensorRT's bindings raise TypeError or return None where they cannot."""
    try:
        created = create()
    except (TypeError, RuntimeError) as error:
        raise EngineError(f"{graph}: TensorRT could not {verb} it: {last_error()} ({error})") from error
    if created is None:
        raise EngineError(f"{graph}: TensorRT could not {verb} it: {last_error()}")
    return created
