"""The names that the adapter and the builder ask for, in the real ``tensorrt`` where it is installed. No GPU needed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from mdsgen.engines.tensorrt import _created, logger
from mdsgen.errors import EngineError, ExportError
from mdsgen.export.plan_options import PlanOptions
from mdsgen.export.plan_progress import progress_monitor
from mdsgen.export.tensorrt import config_arguments, strongly_typed
from mdsgen.precision import PRECISIONS

trt: Any = pytest.importorskip("tensorrt", reason="TensorRT is not installed", exc_type=ImportError)
if not hasattr(trt, "ICudaEngine"):
    pytest.skip("the module tensorrt is not NVIDIA's", allow_module_level=True)


def test_one_of_the_ways_to_make_a_context_without_memory_is_there() -> None:
    if hasattr(trt, "ExecutionContextAllocationStrategy"):
        assert hasattr(trt.ExecutionContextAllocationStrategy, "USER_MANAGED")
        assert hasattr(trt.IExecutionContext, "set_device_memory")
    else:
        assert hasattr(trt.ICudaEngine, "create_execution_context_without_device_memory")
        assert hasattr(trt.IExecutionContext, "device_memory")
    assert any(hasattr(trt.ICudaEngine, name) for name in ("device_memory_size_v2", "device_memory_size"))


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("IExecutionContext", ["execute_async_v3", "set_tensor_address", "set_input_shape", "get_tensor_shape"]),
        ("ICudaEngine", ["num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_shape"]),
        ("ICudaEngine", ["get_tensor_dtype", "get_tensor_location", "get_tensor_profile_shape"]),
        ("Runtime", ["deserialize_cuda_engine"]),
        ("TensorIOMode", ["INPUT", "OUTPUT"]),
        ("TensorLocation", ["DEVICE"]),
        ("MemoryPoolType", ["WORKSPACE"]),
        ("INetworkDefinition", ["num_inputs", "get_input"]),
        ("LayerType", ["CONSTANT", "QUANTIZE"]),
        ("DataType", ["FLOAT", "HALF"]),
    ],
)
def test_the_named_tensor_interface_is_there(owner: str, names: list[str]) -> None:
    assert [name for name in names if not hasattr(getattr(trt, owner), name)] == []


def test_weak_typing_has_the_flags_that_it_needs() -> None:
    if not strongly_typed(trt):
        assert hasattr(trt.BuilderFlag, "FP16")
        assert hasattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS")
        assert hasattr(trt.ILayer, "precision")
        assert hasattr(trt.ILayer, "set_output_type")
        assert hasattr(trt.BuilderFlag, "INT8")
    for precision in ("fp16", "int8"):
        assert (precision in config_arguments(trt, PRECISIONS[precision], PlanOptions())) != strongly_typed(trt)
    assert hasattr(trt.BuilderFlag, "TF32")


def test_options_are_told_in_its_own_words() -> None:
    told = config_arguments(trt, PRECISIONS["fp16"], PlanOptions(workspace=1, tactic_sources=("jit-convolutions",)))
    assert told["memory_pool_limits"] == {trt.MemoryPoolType.WORKSPACE: 1 << 20}
    assert told["tactic_sources"] == [trt.TacticSource.JIT_CONVOLUTIONS]
    for options in ({"version_compatible": True}, {"hardware_compatible": "ampere+"}, {"optimisation_level": 3}):
        with suppress(ExportError):  # refused by name where there is no word for it
            assert config_arguments(trt, PRECISIONS["fp16"], PlanOptions(**options))  # type: ignore[arg-type]


def test_logger_and_progress_monitor_can_be_made() -> None:
    assert isinstance(logger(trt), trt.ILogger)
    monitor = progress_monitor(trt, "denoiser", lambda line: None)
    assert (monitor is not None) == hasattr(trt, "IProgressMonitor")
    if monitor is not None:
        monitor.phase_start("Building", None, 1)
        assert monitor.step_complete("Building", 0)


@pytest.mark.skipif(not strongly_typed(trt), reason="8.6 crashes here without a GPU; the adapter looks for one first")
def test_a_runtime_opens_or_says_why_not() -> None:
    """Without a GPU its bindings raise TypeError."""
    with suppress(EngineError):
        assert _created(lambda: trt.Runtime(logger(trt)), "denoiser", "start its runtime for") is not None
