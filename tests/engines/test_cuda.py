"""The one file that calls CUDA: what it captures, and what becomes of every failure."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError
from tests.engines.fake_gpu import FakeGpu
from tests.planned import end_process

pytestmark = pytest.mark.parametrize("trt_major", [10], indirect=True)
CAPTURE = ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"]


@pytest.fixture
def device(fake_gpu: FakeGpu) -> Device:
    return Device.shared()


def test_says_what_it_is(device: Device) -> None:
    assert (device.name, device.compute_capability, device.cuda) == ("Fake GPU", "8.7", "12.6")
    assert device.free_memory() == 1 << 30


def test_a_process_has_one_device_and_every_thread_that_calls_it_current_until_it_ends(
    device: Device, fake_gpu: FakeGpu
) -> None:
    assert Device.shared() is device
    assert fake_gpu.contexts == 1
    seen: list[int] = []

    def elsewhere() -> None:
        device.allocate(16).free()
        device.synchronize()
        seen.append(fake_gpu.contexts)

    threads = [threading.Thread(target=elsewhere) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == [2, 2, 2]
    assert fake_gpu.contexts == 1


def test_at_the_end_of_the_process_what_is_open_is_closed_before_the_device(device: Device, fake_gpu: FakeGpu) -> None:
    class Held:
        def close(self) -> None:
            fake_gpu.calls.append(f"closed in {fake_gpu.contexts} context")

    held = Held()
    device.close_at_exit(held)
    end_process()
    assert fake_gpu.calls[-3:] == ["closed in 1 context", "pop", "detach"]


def test_a_context_that_cannot_be_popped_is_let_go(device: Device, fake_gpu: FakeGpu) -> None:
    """Or pycuda would end the process with status 134."""
    fake_gpu.fail_on = {"pop"}
    end_process()
    assert fake_gpu.calls[-1] == "detach"


def test_after_a_fork_the_device_is_refused_in_one_line(device: Device, fake_gpu: FakeGpu) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            device.allocate(16)
        except EngineError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).decode() == (
        "a GPU that was opened before the process forked is of no use after it: open it there"
    )
    for end in (reader, writer):
        os.close(end)
    device.allocate(16).free()  # here it still is


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
    assert fake_gpu.leaks() == {}
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
    assert fake_gpu.leaks() == {}


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
