"""Memory on a GPU is what is less free afterwards."""

from __future__ import annotations

import pytest

from mdsgen.bench.device_memory import DeviceMemory, device_memory
from tests.engines.fake_gpu import FakeGpu


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
