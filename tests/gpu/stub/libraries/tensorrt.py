"""TensorRT for a rehearsal: its bindings' names, ONNX Runtime's arithmetic, on the stub of the driver."""

from __future__ import annotations

import enum
import os
from types import SimpleNamespace

from tests.engines.fake_tensorrt import fake_tensorrt
from tests.gpu.stub.device import StubDevice

_MAJOR = int(os.environ.get("MDSGEN_STUB_TENSORRT", "10"))

globals().update({k: v for k, v in vars(fake_tensorrt(StubDevice(), _MAJOR)).items() if k != "__name__"})


class TacticSource(enum.IntEnum):
    EDGE_MASK_CONVOLUTIONS, JIT_CONVOLUTIONS = 3, 4


NetworkDefinitionCreationFlag = SimpleNamespace(**({"STRONGLY_TYPED": 1} if _MAJOR >= 10 else {"EXPLICIT_BATCH": 0}))
LayerType = SimpleNamespace(CONSTANT="constant", QUANTIZE="quantize")
BuilderFlag = SimpleNamespace(VERSION_COMPATIBLE=1)
IBuilderConfig = SimpleNamespace(max_aux_streams=None, builder_optimization_level=None)
MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
OnnxParserFlag = SimpleNamespace(NATIVE_INSTANCENORM="native")
