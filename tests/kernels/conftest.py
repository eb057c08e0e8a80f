"""The machines that the kernels' tests run on."""

from __future__ import annotations

import pytest

from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError
from tests.gpu import there_is_no
from tests.kernels.machines import Gpu, Host, HostLibraries, Machine


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> HostLibraries:
    """The kernels as libraries of the host."""
    if why := HostLibraries.missing():
        pytest.skip(why)
    return HostLibraries(tmp_path_factory.mktemp("host-kernels"))


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    """The first GPU, in the context that engines use, with every kernel compiled for it."""
    try:
        return Gpu(Device.shared())
    except EngineError as error:
        there_is_no(error)


@pytest.fixture(params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def machine(request: pytest.FixtureRequest) -> Machine:
    """The host, and the GPU where there is one."""
    if request.param == "gpu":
        on_gpu: Gpu = request.getfixturevalue("gpu")
        return on_gpu
    return Host(request.getfixturevalue("libraries"))
