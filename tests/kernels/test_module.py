"""Loading and launching: everything that can be slow or fail happens before the first launch."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels import module
from mdsgen.kernels.launch import RgbFrames, StepArrays, guided_step_launch, prepare_frames_launch
from mdsgen.kernels.module import Kernels
from mdsgen.kernels.sources import SOURCES, KernelSource

STEP = guided_step_launch(StepArrays(4096, 8192, 12288, 16384, count=5000, held=20480), table=256, step=3)


class FakeDriver(ModuleType):
    """pycuda.driver, as far as kernels use it, writing down what it is asked."""

    class Error(Exception):
        """pycuda's."""

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.calls: list[tuple[Any, ...]] = []
        self.failing = ""
        self.Context = self  # the same object answers for context and device

    def get_device(self) -> FakeDriver:
        self._note("get_device")
        return self

    def compute_capability(self) -> tuple[int, int]:
        return 8, 7

    def module_from_buffer(self, cubin: bytes) -> FakeModule:
        self._note("load", cubin)
        return FakeModule(self)

    def _note(self, what: str, *how: Any) -> None:
        self.calls.append((what, *how))
        if what == self.failing:
            raise self.Error(f"{what} failed: out of memory")


class FakeModule:
    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver

    def get_function(self, name: str) -> FakeFunction:
        self._driver._note("find", name)
        return FakeFunction(self._driver, name)


class FakeFunction:
    def __init__(self, driver: FakeDriver, name: str) -> None:
        self._driver, self._name, self._format = driver, name, ""

    def prepare(self, parameters: str) -> None:
        self._format = parameters

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: object, *arguments: Any, shared_size: int = 0
    ) -> None:
        packed = struct.pack(self._format, *arguments)  # as pycuda does
        self._driver._note("launch", self._name, grid, block, stream, packed, shared_size)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake, pycuda = FakeDriver(), ModuleType("pycuda")
    pycuda.driver = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    return fake


def code(name: str) -> bytes:
    return f"code of {name}".encode()


def test_all_is_loaded_and_found_at_once(driver: FakeDriver) -> None:
    Kernels(["step", "frames"], code)
    names = [*SOURCES["step"].functions, *SOURCES["frames"].functions]
    assert [call for call in driver.calls if call[0] == "load"] == [
        ("load", b"code of step"),
        ("load", b"code of frames"),
    ]
    assert [call[1] for call in driver.calls if call[0] == "find"] == names


def test_a_launch_is_one_call_with_the_arguments_in_order(driver: FakeDriver) -> None:
    kernels = Kernels(["step"], code)
    before = len(driver.calls)
    kernels.launch(STEP, "stream")
    (call,) = driver.calls[before:]
    packed = struct.pack("6P2iq", 4096, 8192, 12288, 16384, 20480, 256, 3, 0, 5000)
    assert call == ("launch", "guided_step", (10, 1, 1), (64, 1, 1), "stream", packed, 0)


def test_shared_memory_is_asked_for(driver: FakeDriver) -> None:
    kernels = Kernels(["frames"], code)
    kernels.launch(prepare_frames_launch(RgbFrames(4096, 640, 480), 512, 224), None)
    assert driver.calls[-1][-1] == 6 * 1920


def test_code_is_made_for_the_device_of_the_context(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(source: KernelSource, architecture: str) -> bytes:
        return f"{source.name} for {architecture}".encode()

    monkeypatch.setattr(module, "cubin_of", made)
    Kernels(["step"])
    assert driver.calls[:2] == [("get_device",), ("load", b"step for sm_87")]


def test_what_was_not_loaded_cannot_be_launched(driver: FakeDriver) -> None:
    with pytest.raises(KernelError, match="guided_step is not loaded: open the kernels with 'step' among"):
        Kernels(["frames"], code).launch(STEP, None)


@pytest.mark.parametrize(
    ("failing", "complaint"),
    [
        ("get_device", "cannot find the device of the current CUDA context: get_device failed"),
        ("load", "cannot load step: load failed: out of memory"),
        ("find", "cannot find guided_step: find failed"),
        ("launch", "cannot launch guided_step: launch failed"),
    ],
)
def test_errors_of_cuda_say_what_was_going_on(driver: FakeDriver, failing: str, complaint: str) -> None:
    driver.failing = failing
    cubin: Callable[[str], bytes] | None = None if failing == "get_device" else code
    with pytest.raises(KernelError, match=complaint):
        Kernels(["step"], cubin).launch(STEP, None)


def test_without_pycuda_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(KernelError, match=r"kernels need pycuda: pip install 'mdsgen\[tensorrt\]'"):
        Kernels(["step"], code)
