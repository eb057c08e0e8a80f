"""TensorRT's runtime as its bindings of 8.6, 10 and 11 name it, with ONNX Runtime doing the work on a fake GPU.

A plan is a JSON text that says which ONNX file is in it. Only what a version really has is there: its names were read
from the real bindings (see ``test_tensorrt_bindings.py``).
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

VERSIONS = {8: "8.6.1", 10: "10.13.3", 11: "11.4.0"}


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32 = range(4)


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class ILogger:
    Severity = Severity

    def __init__(self) -> None: ...


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


def plan_of(onnx: Path, **facts: Any) -> bytes:
    """A plan of an ONNX file; ``lengths`` are the three of every open axis."""
    return json.dumps({"onnx": str(onnx), **facts}).encode()


@functools.lru_cache(maxsize=16)
def session_of(onnx: str) -> Any:
    """What computes a plan."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


class Gpu(Protocol):
    """The device under it: an array of addresses, a stream, and calls that can be told to fail."""

    def call(self, name: str) -> bool: ...
    def enqueue_on(self, stream: int, work: Callable[[], None]) -> bool: ...
    def view(self, address: int, count: int, dtype: str = "float32") -> np.ndarray: ...


def fake_tensorrt(gpu: Gpu, major: int) -> ModuleType:
    """The module ``tensorrt`` of that major version."""
    module = ModuleType("tensorrt")

    class Context:
        def __init__(self, engine: Engine) -> None:
            self._engine = engine
            self._addresses: dict[str, int] = {}
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._activations: tuple[int, int] | None = None
            if major < 10:
                self.device_memory = 0

        if major >= 10:

            def set_device_memory(self, memory: int, size: int) -> None:
                self._activations = memory, size

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            self._shapes[name] = shape
            return not gpu.call("set_input_shape")

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            open_length = next((shape[0] for shape in self._shapes.values()), -1)
            return tuple(open_length if n < 0 else n for n in self._engine.get_tensor_shape(name))

        def set_tensor_address(self, name: str, memory: int) -> bool:
            assert memory % 256 == 0, f"{name} is not aligned"
            self._addresses[name] = memory
            return not gpu.call("set_tensor_address")

        def execute_async_v3(self, stream: int) -> bool:
            if gpu.call("execute_async_v3"):
                logger.log(Severity.ERROR, "Error Code 1:\n enqueue failed")
                return False
            addresses, needed = dict(self._addresses), self._engine.needed
            shapes = {name: self.get_tensor_shape(name) for name in self._engine.names}
            address, size = self._activations or (self.device_memory, needed)
            return gpu.enqueue_on(stream, lambda: self._engine.execute(addresses, shapes, (address, max(size, needed))))

    class Engine:
        def __init__(self, facts: dict[str, Any]) -> None:
            self._session = session_of(facts["onnx"])
            self._lengths = facts.get("lengths", {})
            tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
            self._tensors = {tensor.name: tensor for tensor in tensors}
            self.names = list(self._tensors)
            self.num_io_tensors = len(tensors)
            self.needed = facts.get("activations", 1024)
            setattr(self, "device_memory_size" if major < 10 else "device_memory_size_v2", self.needed)

        def get_tensor_name(self, index: int) -> str:
            return self.names[index]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            inputs = {tensor.name for tensor in self._session.get_inputs()}
            return TensorIOMode.INPUT if name in inputs else TensorIOMode.OUTPUT

        def get_tensor_location(self, name: str) -> TensorLocation:
            return TensorLocation.DEVICE

        def get_tensor_dtype(self, name: str) -> DataType:
            return DataType.FLOAT

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return tuple(self._length(n) for n in self._tensors[name].shape)

        def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
            return [
                tuple(self._lengths[n][i] if isinstance(n, str) else n for n in self._tensors[name].shape)
                for i in range(3)
            ]

        def _length(self, length: int | str) -> int:
            if isinstance(length, int):
                return length
            least, _, most = self._lengths[length]
            return least if least == most else -1

        if major < 11:

            def create_execution_context_without_device_memory(self) -> Context | None:
                return None if gpu.call("create_execution_context") else Context(self)

        if major >= 10:

            def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> Context | None:
                assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
                return None if gpu.call("create_execution_context") else Context(self)

        def execute(
            self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]], activations: tuple[int, int]
        ) -> None:
            gpu.view(activations[0], self.needed, "uint8")[...] = 0xFF  # whatever was there is gone
            arrays = {n: gpu.view(addresses[n], int(np.prod(shapes[n]))).reshape(shapes[n]) for n in self.names}
            inputs = {t.name: arrays[t.name].copy() for t in self._session.get_inputs()}
            outputs = [t.name for t in self._session.get_outputs()]
            for name, value in zip(outputs, self._session.run(outputs, inputs), strict=True):
                arrays[name][...] = value

    class Runtime:
        def __init__(self, log: ILogger) -> None:
            nonlocal logger
            if gpu.call("Runtime"):
                raise TypeError("pybind11::init(): factory function returned nullptr")
            logger = log

        def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
            if gpu.call("deserialize_cuda_engine"):
                logger.log(Severity.ERROR, "Serialization failed")
                return None
            return Engine(json.loads(content))

    logger: Any = None
    vars(module).update(
        __version__=VERSIONS[major],
        ILogger=ILogger,
        Runtime=Runtime,
        TensorIOMode=TensorIOMode,
        TensorLocation=TensorLocation,
        DataType=DataType,
        nptype=lambda kind: {DataType.FLOAT: np.float32, DataType.HALF: np.float16}[kind],
    )
    if major >= 10:
        module.ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy  # type: ignore[attr-defined]
    return module
