"""A GPU's peak is measured by PyTorch; here on the processor, by the same code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mdsgen.bench import device_peak
from mdsgen.bench.device_memory import DeviceMemory, device_memory
from mdsgen.bench.device_peak import BANDWIDTH, find_device_peaks, measure_device_peaks
from mdsgen.errors import EngineError, MdsgenError
from tests.engines.fake_gpu import FakeGpu


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(device_peak, "SIZES", (16, 64))
    monkeypatch.setattr(device_peak, "COPIED_BYTES", 4 << 20)
    monkeypatch.setattr(device_peak, "_SECONDS", 0.005)
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_small")
def test_products_and_copies_have_a_rate() -> None:
    found = find_device_peaks(["cuda fp32", "cuda tf32", "cuda bf16", "cuda int8", BANDWIDTH], "cpu")
    assert list(found) == ["cuda fp32", "cuda tf32", "cuda bf16", "cuda int8", BANDWIDTH]
    assert found["cuda fp32"].where in ("PyTorch, 16", "PyTorch, 64")
    assert found[BANDWIDTH].where == "PyTorch, 4 MiB"
    assert min(peak.per_second for peak in found.values()) > 1e6


@pytest.mark.usefixtures("_small")
def test_tf32_is_for_what_is_computed_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(
        device_peak, "fastest", lambda timed, lasting: used.append(torch.get_float32_matmul_precision()) or 1
    )
    find_device_peaks(["cuda tf32", "cuda fp32"], "cpu")
    assert used == ["high", "high", "highest", "highest"]


@pytest.mark.usefixtures("_small")
def test_where_little_memory_is_free_the_sizes_are_smaller() -> None:
    assert device_peak._products("cpu", "cuda fp16", free=2 * 16 * 64**2 - 1).where == "PyTorch, 16"
    assert device_peak._bandwidth("cpu", free=8 << 20).where == "PyTorch, 2 MiB"
    with pytest.raises(EngineError, match="0 MiB of the GPU's memory are free, too few for a product of 16²"):
        device_peak._products("cpu", "cuda fp16", free=16)


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


def test_what_one_takes_in_several_calls_adds_up() -> None:
    free = iter([1000, 400, 400, 350, 350, 500])
    memory = DeviceMemory(lambda: next(free))
    for _ in range(3):
        memory.of("one", lambda: None)
    assert memory.taken == {"one": 500}


def test_what_is_held_in_reserve_is_given_back_before_each_reading() -> None:
    order: list[str] = []
    memory = DeviceMemory(lambda: order.append("read") or 0)  # type: ignore[func-returns-value]
    memory.of("one", lambda: order.append("call"), lambda: order.append("settle"))
    assert order == ["settle", "read", "call", "settle", "read"]


@pytest.mark.parametrize("trt_major", [10], indirect=True)
def test_the_device_is_asked_and_given_back(fake_gpu: FakeGpu) -> None:
    with device_memory() as memory:
        memory.of("nothing", lambda: None)
        assert fake_gpu.contexts == 1
    assert memory.taken == {"nothing": 0}
    with device_memory(wanted=False) as memory:
        memory.of("nothing", lambda: None)
    assert memory.taken == {}
