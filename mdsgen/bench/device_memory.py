"""How much of a GPU's memory is taken: the difference that it makes to what is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError

T = TypeVar("T")


class DeviceMemory:
    """What each of several takes and keeps, by name; without ``free``, which gives free bytes, nothing is measured.

    ``gpu`` says whose memory it is, empty where there is none.

    This is free memory before and after: plans, weights, activations, libraries' workspaces and captured graphs are in
    it, the CUDA context is not. It is kept from the first run on, so it is the peak as well, but for what is allocated
    and given back in between. What other programs do at the same time is in it, too.
    """

    def __init__(self, free: Callable[[], int] | None = None, gpu: str = "") -> None:
        self._free, self.gpu = free, gpu
        self.taken: dict[str, int] = {}

    def of(self, name: str, call: Callable[[], T]) -> T:
        """What ``call`` returns; what it took is in ``taken``."""
        before = self._free() if self._free else 0
        result = call()
        if self._free:
            self.taken[name] = max(0, before - self._free())
        return result


@contextmanager
def device_memory(wanted: bool = True) -> Iterator[DeviceMemory]:
    """The memory of this machine's GPU; where it is not wanted, or there is none to ask, nothing is measured."""
    device = None
    if wanted:
        with suppress(EngineError):
            device = Device.acquire()
    try:
        if device is not None:
            architecture = device.compute_capability.replace(".", "")
            yield DeviceMemory(device.free_memory, f"{device.name}, sm_{architecture}, CUDA {device.cuda}")
        else:
            yield _by_torch() if wanted else DeviceMemory()
    finally:
        if device is not None:
            device.release()


def _by_torch() -> DeviceMemory:
    """Where there is no pycuda."""
    try:
        import torch
    except ImportError:
        return DeviceMemory()
    if not torch.cuda.is_available():
        return DeviceMemory()
    return DeviceMemory(lambda: int(torch.cuda.mem_get_info()[0]), torch.cuda.get_device_name())
