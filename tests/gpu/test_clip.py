"""A clip on the GPU is right: its plans, its graph, its pictures; one launch, and nothing left behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.bundle import Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.capture import CapturedGraph
from mdsgen.engines.cuda import Device
from mdsgen.engines.tensorrt import TensorRtEngine
from mdsgen.kernels.module import Kernels
from mdsgen.parity import snr_db
from mdsgen.runtime import Networks, Timings, WindowGenerator, seeded_noise
from mdsgen.runtime.device_window import DeviceWindow
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.known import Known
from mdsgen.runtime.replay import GRAPH
from mdsgen.sampling import Sampling
from tests.gpu import measured, rehearsed
from tests.gpu.conftest import SETTINGS, frames_of

pytestmark = pytest.mark.gpu
LEAST_DB = 45.0
LEAST_FILM_DB = 20.0  # of three windows in FP16 on two engines; imagined apart they would have about none


def test_a_replay_is_stream_order_to_the_last_bit(clip: DeviceWindow, networks: Networks) -> None:
    noise, sounds = seeded_noise(networks.geometry, 0), []
    clip.fill(frames_of(networks.geometry), noise)
    clip.replay.in_stream_order(Timings())
    in_order = clip._host["waveform"].array[0].copy()
    for seed in (1, 0):
        sounds.append(clip(frames_of(networks.geometry, seed), noise, Timings()))
    assert not np.array_equal(sounds[0], in_order)
    assert measured("replay", int(np.count_nonzero(sounds[1] != in_order)))


def test_a_clip_is_one_launch(clip: DeviceWindow, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert measured("launches", len(calls))
    assert calls == ["CapturedGraph.launch"]


def test_a_plan_runs_through_arrays_too(bundle: Bundle) -> None:
    latent = {"latent": seeded_noise(bundle.manifest.geometry, 0)}
    path = bundle.path("latent_decoder")
    with open_engine(path, "tensorrt") as plan, open_engine(path, "onnxruntime", EngineOptions(threads=1)) as reference:
        found, expected = plan.run(latent)["log_mel"], reference.run(latent)["log_mel"]
    assert snr_db(expected, found) > LEAST_DB


def test_the_clip_is_that_of_the_same_plans_through_the_host(clip: DeviceWindow, networks: Networks) -> None:
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 0)
    on_device = clip(frames, noise, Timings())
    through_host = WindowGenerator(networks, SETTINGS)(frames, noise, Timings())
    assert snr_db(through_host, on_device) > 30  # frames differ in the last bit, which FP16 may round otherwise


def test_a_window_goes_on_from_what_is_known_under_the_same_graph(clip: DeviceWindow, networks: Networks) -> None:
    geometry, host = networks.geometry, WindowGenerator(networks, SETTINGS)
    frames, noise = frames_of(geometry), seeded_noise(geometry, 0)
    alone, graph = clip(frames, noise), clip.replay._graph
    known = Known(seeded_noise(geometry, 8), geometry.time_columns // 2, geometry)
    sound, latent = clip.go_on(frames, noise, known)
    np.testing.assert_array_equal(latent[known.part], known.latent[known.part])
    np.testing.assert_array_equal(clip(frames, noise), alone)
    assert clip.replay._graph is graph
    through_host, _ = host.go_on(frames, noise, known, Timings())
    assert snr_db(through_host, sound) > 30


def test_a_film_sounds_as_on_the_cpu(bundle: Bundle) -> None:
    geometry, few = bundle.manifest.geometry, SETTINGS.changed(steps=4)
    pictures = round(11 * geometry.frame_rate)  # of three windows where one lasts 8 s
    frames = np.concatenate([frames_of(geometry, seed) for seed in (0, 1)])[:pictures]
    with Pipeline.open(bundle.folder, "tensorrt") as on_gpu, Pipeline.open(bundle.folder, "onnxruntime") as on_cpu:
        found, expected = (pipeline(frames, sampling=few, seed=0) for pipeline in (on_gpu, on_cpu))
    assert GRAPH in found.timings
    assert snr_db(expected.audio, found.audio) > LEAST_FILM_DB


def test_frames_of_another_size_are_prepared_on_the_device(networks: Networks) -> None:
    coarse = np.random.default_rng(2).integers(0, 256, (networks.geometry.video_frames, 9, 16, 3), dtype=np.uint8)
    frames = coarse.repeat(40, axis=1).repeat(40, axis=2)  # [F, 360, 640, 3], which two ways to shrink agree on
    noise, generators = seeded_noise(networks.geometry, 0), Generators(networks)
    try:
        first, again = (generators.of(SETTINGS)(frames, noise, Timings()) for _ in range(2))
    finally:
        generators.close()
    np.testing.assert_array_equal(first, again)
    through_host = WindowGenerator(networks, SETTINGS)(frames, noise, Timings())
    assert snr_db(through_host, first) >= 20  # the host's pictures are rounded to bytes


def test_another_thread_may_run_it(bundle: Bundle) -> None:
    frames = frames_of(bundle.manifest.geometry)
    sounds: list[np.ndarray] = []
    with Pipeline.open(bundle.folder, "tensorrt") as pipeline:

        def run() -> None:
            sounds.append(pipeline(frames, sampling=Sampling(steps=2), seed=0).audio)

        run()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
    np.testing.assert_array_equal(sounds[0], sounds[1])


def test_it_is_opened_and_closed_again_and_again(bundle: Bundle) -> None:
    frames, sounds = frames_of(bundle.manifest.geometry), []
    for _ in range(rehearsed(100, 3)):
        with Pipeline.open(bundle.folder, "tensorrt") as pipeline:
            sounds.append(pipeline(frames, sampling=Sampling(steps=2), seed=0).audio)
    for sound in sounds[1:]:
        np.testing.assert_array_equal(sound, sounds[0])


def test_clip_after_clip_device_memory_stays_as_it_is(clip: DeviceWindow, networks: Networks) -> None:
    """By the slope of a line through free memory: single steps are the driver's own, who takes it by pages."""
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 0)
    free = []
    for _ in range(rehearsed(1000, 8)):
        clip(frames, noise, Timings())
        free.append(clip.device.free_memory())
    later = np.array(free[len(free) // 5 :], np.float64)  # without the first ones, that fill caches
    assert measured("growth", -float(np.polyfit(np.arange(len(later)), later, 1)[0]))
