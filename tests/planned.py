"""The small bundle with TensorRT plans in it, on a GPU made of host memory."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsgen.bundle import GRAPHS, Bundle, describe_file
from mdsgen.engines import warn_once
from mdsgen.engines.cuda import Device
from mdsgen.engines.plans import PLANS_FOLDER, Machine, PlanRecord
from tests.engines.fake_gpu import FakeGpu, FakeKernels
from tests.engines.fake_tensorrt import VERSIONS, fake_tensorrt, plan_of

LENGTHS = {"steps": (1, 4, 8), "branches": (2, 2, 2)}


def machine(major: int = 10) -> Machine:
    """What the fake GPU is, with that TensorRT."""
    return Machine(VERSIONS[major], "Fake GPU", "8.7", "12.6")


def write_plans(bundle: Path, built_for: Machine, branches: int = 2, **options: object) -> Path:
    """Plans of all graphs, as the builder leaves them; the denoiser's of so many branches of guidance."""
    lengths = {**LENGTHS, "branches": (branches,) * 3}
    opened, folder = Bundle.open(bundle), bundle / PLANS_FOLDER / built_for.key
    folder.mkdir(parents=True)
    plans = {}
    for count, name in enumerate(GRAPHS):
        path = folder / f"{name}.plan"
        path.write_bytes(plan_of(opened.path(name), lengths=lengths, activations=1024 * (count + 1)))
        plans[name] = describe_file(path).sha256
    sources = {name: {part.file: part.sha256 for part in opened.manifest.graphs[name].files} for name in GRAPHS}
    PlanRecord(built_for, sources, plans, dict(options)).write(folder)
    return folder


@pytest.fixture(params=sorted(VERSIONS), ids=lambda major: f"TensorRT {major}")
def trt_major(request: pytest.FixtureRequest) -> int:
    """Every generation of TensorRT's interface."""
    major: int = request.param
    return major


def end_process() -> None:
    """What becomes of the device at the end of a process."""
    if Device._shared is not None:
        atexit.unregister(Device._shared._finish)
        Device._shared._finish()
        Device._shared = None


@pytest.fixture
def fake_gpu(trt_major: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    """A fake GPU with that TensorRT on it; at the end it must be as it was."""
    gpu = FakeGpu()
    gpu.install(monkeypatch)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", fake_tensorrt(gpu, trt_major))
    monkeypatch.setattr("mdsgen.kernels.module.Kernels", lambda sources: FakeKernels(gpu))
    monkeypatch.setattr(Device, "_shared", None)
    warn_once.cache_clear()
    yield gpu
    end_process()
    assert (gpu.leaks(), gpu.contexts) == ({}, 0)


@pytest.fixture
def planned_bundle(bundle_path: Path, trt_major: int, tmp_path: Path) -> Path:
    """A copy of the small bundle with plans for the fake GPU."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_path, folder)
    write_plans(folder, machine(trt_major))
    return folder
