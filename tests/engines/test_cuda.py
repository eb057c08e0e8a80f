"""The one file that calls CUDA: what it captures, and what becomes of every failure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError
from tests.engines.fake_gpu import FakeGpu

pytestmark = pytest.mark.parametrize("trt_major", [10], indirect=True)
CAPTURE = ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"]


@pytest.fixture
def device(fake_gpu: FakeGpu) -> Iterator[Device]:
    opened = Device.acquire()
    yield opened
    opened.release()


def test_says_what_it_is(device: Device) -> None:
    assert (device.name, device.compute_capability, device.cuda) == ("Fake GPU", "8.7", "12.6")
    assert device.free_memory() == 1 << 30


def test_all_users_share_one_device_and_the_last_one_closes_it(device: Device, fake_gpu: FakeGpu) -> None:
    assert Device.acquire() is device
    device.release()
    assert fake_gpu.contexts == 1


def test_what_is_captured_runs_at_each_launch_and_not_before(device: Device, fake_gpu: FakeGpu) -> None:
    memory, source, target = device.allocate(16), device.pinned((4,), "float32"), device.pinned((4,), "float32")

    def there_and_back() -> None:
        device.upload(memory.address, source)
        device.download(target, memory.address)

    graph = device.capture(there_and_back)
    for value in (0, 3, 5):
        source.array[...] = value
        if value:
            graph.launch()
        device.synchronize()
        np.testing.assert_array_equal(target.array, np.full(4, value, np.float32))
    for held in (graph, memory, source, target, graph, memory, source, target):  # twice is harmless
        held.free()
    with pytest.raises(EngineError, match="after it was freed"):
        target.array  # noqa: B018


@pytest.mark.parametrize("call", CAPTURE)
def test_a_capture_that_fails_leaves_the_stream_usable_and_nothing_behind(
    device: Device, fake_gpu: FakeGpu, call: str
) -> None:
    fake_gpu.fail_on = {call}
    with pytest.raises(EngineError, match=r"CUDA could not .*: CUDA_ERROR_"):
        device.capture(lambda: None)
    assert fake_gpu.leaks() == {"contexts": 1}
    fake_gpu.fail_on = set()
    device.capture(lambda: None).free()


@pytest.mark.parametrize("also", [None, "cuStreamEndCapture", "cuGraphDestroy"])
def test_what_the_captured_calls_raise_is_raised_once_the_capture_has_ended(
    device: Device, fake_gpu: FakeGpu, also: str | None
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    fake_gpu.fail_on = {also} if also else set()
    with pytest.raises(KeyboardInterrupt):
        device.capture(interrupted)
    assert fake_gpu.leaks() == {"contexts": 1}


def test_a_launch_that_fails_says_so(device: Device, fake_gpu: FakeGpu) -> None:
    graph = device.capture(lambda: None)
    fake_gpu.fail_on = {"cuGraphLaunch"}
    with pytest.raises(EngineError, match="CUDA could not launch the graph: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        graph.launch()
    graph.free()


@pytest.mark.usefixtures("trt_major")
def test_the_real_bindings_have_these_names() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    assert [name for name in (*CAPTURE, "cuGraphLaunch", "cuGraphExecDestroy") if not hasattr(driver, name)] == []
    assert driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert (int(driver.CUresult.CUDA_SUCCESS), driver.CUresult.CUDA_ERROR_NO_DEVICE.name) == (0, "CUDA_ERROR_NO_DEVICE")


def test_a_driver_too_old_for_graphs_is_an_error_like_any_other(device: Device, fake_gpu: FakeGpu) -> None:
    def absent(*arguments: object) -> None:
        raise RuntimeError('Function "cuStreamBeginCapture" not found')

    fake_gpu.bindings.cuStreamBeginCapture = absent  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="CUDA could not capture the stream: Function"):
        device.capture(lambda: None)
