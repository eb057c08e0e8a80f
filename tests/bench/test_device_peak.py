"""A GPU's peak is measured by PyTorch; here on the processor, by the same code."""

from __future__ import annotations

import pytest
import torch

from mdsgen.bench import device_peak
from mdsgen.bench.device_memory import DeviceMemory, device_memory
from mdsgen.bench.device_peak import BANDWIDTH, find_device_peaks, measure_device_peaks
from mdsgen.errors import MdsgenError
from tests.engines.fake_gpu import FakeGpu


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_peak, "SIZES", (16, 64))
    monkeypatch.setattr(device_peak, "COPIED_BYTES", 1 << 20)
    monkeypatch.setattr(device_peak, "_SECONDS", 0.005)


@pytest.mark.usefixtures("_small")
def test_products_and_copies_have_a_rate() -> None:
    found = find_device_peaks(["cuda fp32", "cuda bf16", BANDWIDTH], "cpu")
    assert list(found) == ["cuda fp32", "cuda bf16", BANDWIDTH]
    assert found["cuda fp32"].where in ("PyTorch, 16", "PyTorch, 64")
    assert found[BANDWIDTH].where == "PyTorch, 1 MiB"
    assert min(peak.per_second for peak in found.values()) > 1e6


def test_without_a_gpu_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device_peaks(["cuda fp16"]) == {}


def test_what_no_gpu_is_asked_for_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert measure_device_peaks({"fp32", "int8", "cuda fp16-weights"}) == {}
    with pytest.raises(MdsgenError, match="the GPU's peak could not be measured: nothing"):
        measure_device_peaks({"cuda fp16"})


def test_memory_is_what_is_less_free_afterwards() -> None:
    free = iter([1000, 400, 400, 450])
    memory = DeviceMemory(lambda: next(free))
    assert memory.of("one", lambda: 7) == 7
    memory.of("other", lambda: None)
    assert memory.taken == {"one": 600, "other": 0}


@pytest.mark.parametrize("trt_major", [10], indirect=True)
def test_the_device_is_asked_and_given_back(fake_gpu: FakeGpu) -> None:
    with device_memory() as memory:
        memory.of("nothing", lambda: None)
        assert fake_gpu.contexts == 1
    assert memory.taken == {"nothing": 0}
    with device_memory(wanted=False) as memory:
        memory.of("nothing", lambda: None)
    assert memory.taken == {}
