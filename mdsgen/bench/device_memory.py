"""How much of a GPU's memory is taken: the difference that it makes to what is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError

T = TypeVar("T")


def _nothing() -> None: ...


class DeviceMemory:
    """What each of several takes and keeps, by name; without ``free``, which gives free bytes, nothing is measured.

    ``gpu`` says whose memory it is, empty where there is none.

    This is free memory before and after: plans, weights, activations, libraries' workspaces and captured graphs are in
    it, the CUDA context is not. It is kept from the first run on, so it is the peak as well, but for what is allocated
    and given back in between. What other programs do at the same time is in it, too.
    """

    def __init__(self, free: Callable[[], int] | None = None, gpu: str = "") -> None:
        self._free, self.gpu = free, gpu
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> dict[str, int]:
        """Bytes by name, of all calls together: what a later one gave back is no longer in it."""
        return {name: max(0, taken) for name, taken in self._taken.items()}

    def of(self, name: str, call: Callable[[], T], settle: Callable[[], None] = _nothing) -> T:
        """What ``call`` returns; what it took is in ``taken``.

        Before free memory is read, ``settle`` gives back what is not in use, such as what an allocator keeps.
        """
        before = self._settled(settle)
        result = call()
        if self._free:
            self._taken[name] = self._taken.get(name, 0) + before - self._settled(settle)
        return result

    def _settled(self, settle: Callable[[], None]) -> int:
        if self._free is None:
            return 0
        settle()
        return self._free()


@contextmanager
def device_memory(wanted: bool = True) -> Iterator[DeviceMemory]:
    """The memory of this machine's GPU; where it is not wanted, or there is none to ask, nothing is measured."""
    device = None
    if wanted:
        with suppress(EngineError):
            device = Device.shared()
    if device is not None:
        architecture = device.compute_capability.replace(".", "")
        yield DeviceMemory(device.free_memory, f"{device.name}, sm_{architecture}, CUDA {device.cuda}")
    else:
        yield _by_torch() if wanted else DeviceMemory()


def _by_torch() -> DeviceMemory:
    """Where there is no pycuda."""
    try:
        import torch
    except ImportError:
        return DeviceMemory()
    if not torch.cuda.is_available():
        return DeviceMemory()
    return DeviceMemory(lambda: int(torch.cuda.mem_get_info()[0]), torch.cuda.get_device_name())
