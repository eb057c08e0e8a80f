"""The kernels in device memory, and their launches on a stream. The only file here that needs a GPU, through pycuda."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any

from mdsgen.errors import KernelError
from mdsgen.kernels.cache import cubin_of
from mdsgen.kernels.compiler import architecture_of
from mdsgen.kernels.launch import Launch
from mdsgen.kernels.sources import SOURCES


class Kernels:
    """The kernels of some sources, loaded into the current CUDA context.

    All loading is done here: nothing is compiled, loaded or looked up at a launch, which may be in the middle of a
    graph's capture. They are unloaded by :meth:`close`, which must come while the context is current.
    """

    def __init__(self, sources: Iterable[str], cubin: Callable[[str], bytes] | None = None) -> None:
        """``cubin`` gives a source's machine code by name: by default from the cache, for the context's device."""
        driver = _pycuda_driver()
        cubin = cubin or _for_device_of(driver)
        self._modules: list[Any] = []
        self._functions: dict[str, Any] = {}
        for name in sources:
            module = _calling(driver, f"load {name}", partial(driver.module_from_buffer, cubin(name)))
            self._modules.append(module)
            for function, parameters in SOURCES[name].functions.items():
                found = _calling(driver, f"find {function}", partial(module.get_function, function))
                found.prepare(parameters)
                self._functions[function] = found
        self._driver = driver

    def launch(self, launch: Launch, stream: Any) -> None:
        """Put one launch on ``stream`` (pycuda's), and return at once."""
        function = self._functions.get(launch.function)
        if function is None:
            raise KernelError(
                f"{launch.function} is not loaded: open the kernels with {launch.source!r} among the sources"
            )
        block = (launch.threads, 1, 1)
        call = partial(function.prepared_async_call, launch.grid, block, stream, *launch.arguments)
        _calling(self._driver, f"launch {launch.function}", partial(call, shared_size=launch.shared))

    def close(self) -> None:
        """Unload them. Closing twice is harmless."""
        self._functions.clear()  # a function holds its module
        self._modules.clear()


def _pycuda_driver() -> ModuleType:
    try:
        import pycuda.driver
    except ImportError as error:
        raise KernelError(f"kernels need pycuda: pip install 'mdsgen[tensorrt]' ({error})") from error
    driver: ModuleType = pycuda.driver
    return driver


def _for_device_of(driver: Any) -> Callable[[str], bytes]:
    def current_capability() -> tuple[int, int]:
        capability: tuple[int, int] = driver.Context.get_device().compute_capability()
        return capability

    capability = _calling(driver, "find the device of the current CUDA context", current_capability)
    return lambda name: cubin_of(SOURCES[name], architecture_of(capability))


def _calling(driver: Any, doing: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except driver.Error as error:
        raise KernelError(f"cannot {doing}: {error}") from error
