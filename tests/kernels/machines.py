"""Where a kernel is run: on the host, every thread of it taking its turn, or on the GPU. The tests are the same."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mdsgen.engines.cuda import Device
from mdsgen.kernels.launch import Launch
from mdsgen.kernels.sources import FOLDER, SOURCES

HOST_SOURCES = Path(__file__).parent / "host"
# Without contraction to fused multiply-adds the host computes what NumPy does, on every processor.
OPTIONS = ["-std=c++14", "-O2", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"]
GUARD = 64  # bytes around an array on the host that no kernel may write


class Held(Protocol):
    """An array where a kernel can reach it."""

    address: int

    def read(self) -> np.ndarray:
        """A copy of what is there now."""


class Machine(Protocol):
    """What runs launches."""

    def hold(self, array: np.ndarray, offset: int = 0) -> Held:
        """A copy of ``array``, ``offset`` bytes after an address that is a multiple of 64."""

    def launch(self, launch: Launch) -> None:
        """Run to the end."""


class HostLibraries:
    """The kernels compiled for the host, each when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._loaded = folder, dict[str, ctypes.CDLL]()

    def __getitem__(self, name: str) -> ctypes.CDLL:
        if name not in self._loaded:
            target = self._folder / f"{name}.so"
            include = [f"-I{HOST_SOURCES}", f"-I{FOLDER}"]
            command = [
                "g++",
                *OPTIONS,
                *WARNINGS,
                "-shared",
                "-fPIC",
                *include,
                "-o",
                target,
                HOST_SOURCES / f"{name}.cpp",
            ]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
            self._loaded[name] = ctypes.CDLL(str(target))
        return self._loaded[name]

    @staticmethod
    def missing() -> str:
        """Why there are none; empty where there are."""
        return "" if shutil.which("g++") else "no g++ to compile the kernels for the host with"


class HeldOnHost:
    def __init__(self, array: np.ndarray, offset: int) -> None:
        self._like = array
        start = GUARD + offset
        self._memory = np.full(start + array.nbytes + 2 * GUARD, 0xA5, np.uint8)
        self._start = start + -(self._memory.ctypes.data) % GUARD
        self._content[:] = np.frombuffer(array.tobytes(), np.uint8)
        self.address = self._memory.ctypes.data + self._start

    @property
    def _content(self) -> np.ndarray:
        return self._memory[self._start : self._start + self._like.nbytes]

    def read(self) -> np.ndarray:
        around = self._memory[: self._start], self._memory[self._start + self._like.nbytes :]
        assert all((guard == 0xA5).all() for guard in around), "the kernel wrote outside of the array"
        return self._content.copy().view(self._like.dtype).reshape(self._like.shape)


class Host:
    """Runs a kernel's own code in a grid of coroutines; see host/grid.h."""

    def __init__(self, libraries: HostLibraries) -> None:
        self._libraries = libraries

    def hold(self, array: np.ndarray, offset: int = 0) -> Held:
        return HeldOnHost(array, offset)

    def launch(self, launch: Launch) -> None:
        # As pycuda packs them: struct's native alignment.
        packed = struct.pack(SOURCES[launch.source].functions[launch.function], *launch.arguments)
        shape = (ctypes.c_uint * 5)(*launch.grid, launch.threads, launch.shared)
        outside = getattr(self._libraries[launch.source], f"run_{launch.function}")(shape, packed)
        assert not outside, "the kernel wrote past its shared memory"


class HeldOnGpu:
    def __init__(self, driver: Any, array: np.ndarray, offset: int) -> None:
        self._driver, self._like = driver, array
        self._memory = driver.mem_alloc(array.nbytes + offset)
        self.address = int(self._memory) + offset
        driver.memcpy_htod(self.address, np.ascontiguousarray(array))  # on the legacy stream,
        driver.Context.synchronize()  # which that of the launches does not wait for

    def read(self) -> np.ndarray:
        array = np.empty_like(self._like, order="C")
        self._driver.memcpy_dtoh(array, self.address)
        return array


class Gpu:
    """An open device, on its stream."""

    def __init__(self, device: Device) -> None:
        import pycuda.driver as driver

        from mdsgen.kernels.module import Kernels

        self._driver, self._kernels, self._device = driver, Kernels(SOURCES), device

    def hold(self, array: np.ndarray, offset: int = 0) -> Held:
        return HeldOnGpu(self._driver, array, offset)

    def launch(self, launch: Launch) -> None:
        self._kernels.launch(launch, self._device.stream)
        self._device.synchronize()
