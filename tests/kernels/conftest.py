"""The machines that the kernels' tests run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels.machines import Gpu, Host, HostLibraries, Machine


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> HostLibraries:
    """The kernels as libraries of the host."""
    if why := HostLibraries.missing():
        pytest.skip(why)
    return HostLibraries(tmp_path_factory.mktemp("host-kernels"))


@pytest.fixture(scope="session")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpu]:
    """The first GPU, with every kernel compiled for it."""
    if why := Gpu.missing():
        pytest.skip(why)
    import pycuda.driver as driver

    context = driver.Device(0).make_context()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MDSGEN_CACHE", str(tmp_path_factory.mktemp("kernel-cache")))
            yield Gpu()
    finally:
        context.pop()


@pytest.fixture(params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def machine(request: pytest.FixtureRequest) -> Machine:
    """The host, and the GPU where there is one."""
    if request.param == "gpu":
        on_gpu: Gpu = request.getfixturevalue("gpu")
        return on_gpu
    return Host(request.getfixturevalue("libraries"))
