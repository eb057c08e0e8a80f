"""What only a GPU can show, with real TensorRT, pycuda and cuda-bindings: ``make gpu`` runs all of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from mdsgen.bench.tensorrt_backend import DeviceLoop
from mdsgen.bundle import GRAPHS, Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.cuda import CapturedGraph, Device
from mdsgen.engines.plans import PlanRecord
from mdsgen.engines.tensorrt import TensorRtEngine
from mdsgen.errors import MdsgenError
from mdsgen.geometry import FRAME_SIZE, PAPER, Geometry
from mdsgen.kernels.module import Kernels
from mdsgen.runtime import ClipGenerator, Networks, Timings, seeded_noise
from mdsgen.runtime.device_clip import DeviceClip
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.replay import Replay
from mdsgen.sampling import Sampling
from tests.gpu import BUNDLE, there_is_no

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]
SETTINGS = Sampling(steps=25, guidance=5.0, guidance_power=0.01)

MOST_HOST_MICROSECONDS = 50.0
LEAST_SPEEDUP = {"torch-fp16": 3.0, "torch-compile": 1.5}
LEAST_DECIBELS = 45.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Untrained Tiny of the paper's geometry (256 tokens) in FP16, with plans: $MDSGEN_GPU_BUNDLE, or made now."""
    missing = [name for name in ("tensorrt", "pycuda", "cuda", "polygraphy", "torch") if not find_spec(name)]
    if missing:
        there_is_no(f"{', '.join(missing)} not installed")
    try:
        Device.acquire().release()
    except MdsgenError as error:
        there_is_no(error)
    if given := os.environ.get(BUNDLE):
        return Bundle.open(given)
    from mdsgen.export import export_bundle, seeded_models, verification_frames
    from mdsgen.export.plans import build_plans

    frames, target = verification_frames(PAPER), tmp_path_factory.mktemp("gpu") / "bundle"
    made = export_bundle(lambda: seeded_models(PAPER, "tiny"), target, frames=frames)
    build_plans(made, frames=frames)
    return made


@pytest.fixture(scope="module")
def networks(bundle: Bundle) -> Iterator[Networks]:
    with Networks(bundle, "tensorrt") as opened:
        yield opened


@pytest.fixture(scope="module")
def generators(networks: Networks) -> Iterator[Generators]:
    made = Generators(networks)
    yield made
    made.close()


@pytest.fixture
def clip(generators: Generators, networks: Networks) -> DeviceClip:
    """Captured."""
    generators.of(SETTINGS)(frames_of(networks.geometry), seeded_noise(networks.geometry, 0), Timings())
    made = generators.clip(networks.device_engines, SETTINGS.steps)
    assert made.replay.replays, "capture was refused: see the warning"
    return made


def frames_of(geometry: Geometry, seed: int = 0) -> np.ndarray:
    shape = (geometry.video_frames, FRAME_SIZE, FRAME_SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Correct


def test_every_plan_is_within_45_decibels_of_onnx_runtime(bundle: Bundle) -> None:
    folders = list((bundle.folder / "plans").iterdir())
    for folder in folders:
        quality = {figure["graph"]: figure["snr_db"] for figure in PlanRecord.read(folder).quality}
        assert all(quality[name] is None or quality[name] >= LEAST_DECIBELS for name in GRAPHS), quality
    assert folders


def test_a_plan_runs_through_arrays_too(bundle: Bundle) -> None:
    latent = {"latent": seeded_noise(bundle.manifest.geometry, 0)}
    path = bundle.path("latent_decoder")
    with open_engine(path, "tensorrt") as plan, open_engine(path, "onnxruntime", EngineOptions(threads=1)) as reference:
        found, expected = plan.run(latent)["log_mel"], reference.run(latent)["log_mel"]
    assert decibels(expected, found) > LEAST_DECIBELS


def test_a_replay_is_stream_order_to_the_last_bit(clip: DeviceClip, networks: Networks) -> None:
    noise, sounds = seeded_noise(networks.geometry, 0), []
    clip.fill(frames_of(networks.geometry), noise)
    clip.replay.in_stream_order(Timings())
    in_order = clip._host["waveform"].array[0].copy()
    for seed in (1, 0):
        sounds.append(clip(frames_of(networks.geometry, seed), noise, Timings()))
    np.testing.assert_array_equal(sounds[1], in_order)
    assert not np.array_equal(sounds[0], in_order)


def test_the_clip_is_that_of_the_same_plans_through_the_host(clip: DeviceClip, networks: Networks) -> None:
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 0)
    on_device = clip(frames, noise, Timings())
    through_host = ClipGenerator(networks, SETTINGS)(frames, noise, Timings())
    assert decibels(through_host, on_device) > 30  # frames differ in the last bit, which FP16 may round otherwise


def test_frames_of_another_size_are_prepared_on_the_device(networks: Networks) -> None:
    coarse = np.random.default_rng(2).integers(0, 256, (networks.geometry.video_frames, 9, 16, 3), dtype=np.uint8)
    frames = coarse.repeat(40, axis=1).repeat(40, axis=2)  # [F, 360, 640, 3], which two ways to shrink agree on
    noise, generators = seeded_noise(networks.geometry, 0), Generators(networks)
    try:
        first, again = (generators.of(SETTINGS)(frames, noise, Timings()) for _ in range(2))
    finally:
        generators.close()
    np.testing.assert_array_equal(first, again)
    through_host = ClipGenerator(networks, SETTINGS)(frames, noise, Timings())
    assert decibels(through_host, first) >= 20  # the host's pictures are rounded to bytes


# One launch, and nothing left behind


def test_a_clip_is_one_launch(clip: DeviceClip, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def watch(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: object, **named: object) -> object:
            calls.append(f"{owner.__name__}.{name}")
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, watched)

    watch(CapturedGraph, "launch")
    watch(TensorRtEngine, "enqueue")
    watch(Kernels, "launch")
    for name in ("upload", "download", "allocate"):
        watch(Device, name)
    clip(frames_of(networks.geometry), seeded_noise(networks.geometry, 0), Timings())
    assert calls == ["CapturedGraph.launch"]


def test_the_host_needs_less_than_50_microseconds_between_replays_of_the_loop(
    clip: DeviceClip, networks: Networks
) -> None:
    """From the return of one wait to that of the next launch, the next noise put into its place in between.

    The clip's next pictures are megabytes to copy: its time is printed, with and without them.
    """
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 1)
    loop = DeviceLoop(clip, graph=True)
    try:
        loop(noise)
        assert loop.replay.replays, "capture was refused: see the warning"
        between = host_microseconds(clip, loop.replay, lambda: clip.fill_noise(noise))
    finally:
        loop.close()
    launching = host_microseconds(clip, clip.replay, lambda: None)
    filling = host_microseconds(clip, clip.replay, lambda: clip.fill(frames, noise))
    print(f"host between replays: loop {between:.1f} µs; clip {launching:.1f} µs, with its pictures {filling:.1f} µs")
    assert between < MOST_HOST_MICROSECONDS


def host_microseconds(clip: DeviceClip, replay: Replay, fill: Callable[[], None]) -> float:
    """Median microseconds from the return of one wait to that of the next launch."""
    taken = []
    for _ in range(200):
        start = time.perf_counter()
        fill()
        replay.launch()
        taken.append(time.perf_counter() - start)
        clip.device.synchronize()
    return 1e6 * float(np.median(taken))


def test_a_thousand_clips_leave_device_memory_as_it_was(clip: DeviceClip, networks: Networks) -> None:
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 0)
    for _ in range(3):
        clip(frames, noise, Timings())
    before = clip.device.free_memory()
    for _ in range(1000):
        clip(frames, noise, Timings())
    assert clip.device.free_memory() >= before - (1 << 20)  # the driver's own accounts move by pages


# Fast


def test_the_loop_is_faster_than_pytorch_by_what_was_promised(bundle: Bundle) -> None:
    import torch

    if not torch.cuda.is_available():
        there_is_no(f"PyTorch {torch.__version__} finds no CUDA device")
    from mdsgen.bench.backends import parse
    from mdsgen.bench.comparison import Task, compare
    from mdsgen.bench.subject import Subject

    entries = parse("torch-fp16,torch-compile,tensorrt-stream,tensorrt")
    task = Task.named("loop", SETTINGS)
    report = compare(entries, Subject(bundle), task, 1, repeat=30, warmup=5, peak=False)
    print(report.page())
    median = {name: found.median for name, found in report.measurements.items()}
    ratios = {name: median[name] / median["tensorrt"] for name in LEAST_SPEEDUP}
    assert all(ratios[name] >= least for name, least in LEAST_SPEEDUP.items()), ratios


def decibels(reference: np.ndarray, found: np.ndarray) -> float:
    """Signal over difference."""
    error = np.sum((reference.astype(np.float64) - found) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / error))
