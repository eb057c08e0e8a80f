"""What only a GPU can show, with real TensorRT, pycuda and cuda-bindings: ``make gpu`` runs all of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bundle import GRAPHS, Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.cuda import Device
from mdsgen.engines.plans import PlanRecord
from mdsgen.errors import MdsgenError
from mdsgen.geometry import FRAME_SIZE, Geometry
from mdsgen.runtime import Networks, SamplerSettings, Timings, seeded_noise
from mdsgen.runtime.generators import Generators

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1200)]
SETTINGS = SamplerSettings(steps=25, guidance=5.0, guidance_power=0.01)


@pytest.fixture(scope="module")
def bundle(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small bundle in FP16 where ONNX is here to convert it, with plans built now."""
    missing = [name for name in ("tensorrt", "pycuda", "polygraphy") if not find_spec(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    try:
        Device.acquire().release()
    except MdsgenError as error:
        pytest.skip(str(error))
    from mdsgen.export.clip import verification_frames
    from mdsgen.export.convert import convert_bundle
    from mdsgen.export.plans import build_plans

    source = Bundle.open(bundle_path)
    frames = verification_frames(source.manifest.geometry)
    half = convert_bundle(source, tmp_path_factory.mktemp("gpu") / "bundle", precision="fp16", frames=frames)
    build_plans(half, frames=frames)
    return half


@pytest.fixture(scope="module")
def networks(bundle: Bundle) -> Iterator[Networks]:
    with Networks(bundle, "tensorrt") as opened:
        yield opened


@pytest.fixture
def generators(networks: Networks) -> Iterator[Generators]:
    made = Generators(networks)
    yield made
    made.close()


def frames_of(geometry: Geometry, seed: int = 0) -> np.ndarray:
    shape = (geometry.video_frames, 3, FRAME_SIZE, FRAME_SIZE)
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_every_plan_agrees_with_onnx_runtime(bundle: Bundle) -> None:
    (folder,) = (bundle.folder / "plans").iterdir()
    quality = {figure["graph"]: figure["decibels"] for figure in PlanRecord.read(folder).quality}
    assert all(quality[name] is None or quality[name] >= 45 for name in GRAPHS), quality


def test_a_plan_runs_through_arrays_too(bundle: Bundle) -> None:
    latent = {"latent": seeded_noise(bundle.manifest.geometry, 0)}
    path = bundle.path("latent_decoder")
    with open_engine(path, "tensorrt") as plan, open_engine(path, "onnxruntime", EngineOptions(threads=1)) as reference:
        np.testing.assert_allclose(plan.run(latent)["log_mel"], reference.run(latent)["log_mel"], atol=0.02)


def test_a_replay_is_stream_order_to_the_last_bit(generators: Generators, networks: Networks) -> None:
    generate, noise = generators.of(SETTINGS), seeded_noise(networks.geometry, 0)
    in_order = generate(frames_of(networks.geometry), noise, Timings())
    clip = generators.clip(networks.device_engines, SETTINGS.steps)
    assert clip.replays, "capture was refused: see the warning"
    for seed in (1, 0):
        replayed = generate(frames_of(networks.geometry, seed), noise, Timings())
    np.testing.assert_array_equal(replayed, in_order)


def test_the_host_needs_less_than_50_microseconds_between_replays(generators: Generators, networks: Networks) -> None:
    generators.of(SETTINGS)(frames_of(networks.geometry), seeded_noise(networks.geometry, 0), Timings())
    clip = generators.clip(networks.device_engines, SETTINGS.steps)
    graph, device = clip._graph, clip._device
    assert graph is not None
    taken = []
    for _ in range(200):
        start = time.perf_counter()
        graph.launch()
        taken.append(time.perf_counter() - start)
        device.synchronize()
    assert np.median(taken) < 50e-6, f"{1e6 * np.median(taken):.1f} µs"


def test_a_thousand_clips_leave_device_memory_as_it_was(generators: Generators, networks: Networks) -> None:
    generate, noise = generators.of(SETTINGS), seeded_noise(networks.geometry, 0)
    frames, device = frames_of(networks.geometry), next(iter(networks.device_engines.values())).device
    for _ in range(3):
        generate(frames, noise, Timings())
    before = device.free_memory()
    for _ in range(1000):
        generate(frames, noise, Timings())
    assert device.free_memory() >= before - (1 << 20)  # the driver's own accounts move by pages
