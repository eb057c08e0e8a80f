"""A whole clip on the GPU: the same sound as through the host, one launch, nothing copied between networks, no leak."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.bundle import CONDITIONING, DENOISER, Bundle
from mdsgen.engines import EngineOptions
from mdsgen.errors import EngineError, TensorError
from mdsgen.geometry import PAPER
from mdsgen.parity import snr_db
from mdsgen.runtime import Networks, Timings, WindowGenerator, seeded_noise
from mdsgen.runtime.device_window import DeviceWindow
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.known import Known
from mdsgen.runtime.replay import GRAPH
from mdsgen.sampling import Sampling
from tests.column_rows import with_column_rows
from tests.engines.fake_gpu import FakeGpu
from tests.kernels.resizing import prepare_rgb
from tests.one_branch import with_one_branch
from tests.planned import machine, write_plans

SAMPLING = Sampling(steps=3, guidance=3.0)
OTHER_GUIDANCE = SAMPLING.changed(guidance=1.5)
OTHER_SOLVER = SAMPLING.changed(solver="unipc-3", clean_limit=1.0)
ONE = pytest.mark.parametrize("trt_major", [10], indirect=True)  # where its generations do not differ
STAGES = ["upload", "frames", "video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "download"]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    shape = (PAPER.video_frames, 224, 224, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def sounds(bundle_path: Path, frames: np.ndarray) -> dict[Sampling, np.ndarray]:
    """What the host makes of two settings, network after network."""
    with Networks(Bundle.open(bundle_path), "onnxruntime", EngineOptions(threads=1)) as networks:
        noise = seeded_noise(PAPER, 0)
        return {
            s: WindowGenerator(networks, s)(frames, noise, Timings()) for s in (SAMPLING, OTHER_GUIDANCE, OTHER_SOLVER)
        }


@pytest.fixture
def generators(fake_gpu: FakeGpu, planned_bundle: Path) -> Iterator[Generators]:
    with Networks(Bundle.open(planned_bundle), "tensorrt") as networks:
        made = Generators(networks)
        yield made
        made.close()


def test_sounds_as_through_the_host_in_stream_order_and_replayed(
    generators: Generators, frames: np.ndarray, sounds: dict[Sampling, np.ndarray]
) -> None:
    for _ in range(3):  # stream order, then twice the graph
        sound = generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
        np.testing.assert_allclose(sound, sounds[SAMPLING], rtol=0, atol=1e-4)


@ONE
def test_a_denoiser_of_one_branch_takes_half_the_work(
    fake_gpu: FakeGpu,
    bundle_path: Path,
    tmp_path: Path,
    frames: np.ndarray,
    sounds: dict[Sampling, np.ndarray],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("onnx", reason="ONNX makes the bundle of one branch")
    unguided = SAMPLING.changed(guidance=1.0)
    with Networks(Bundle.open(bundle_path), "onnxruntime") as networks:
        expected = WindowGenerator(networks, unguided)(frames, seeded_noise(PAPER, 0), Timings())
    shutil.copytree(bundle_path, tmp_path / "one")
    bundle = with_one_branch(tmp_path / "one", DENOISER)
    write_plans(bundle.folder, machine(), branches=1)
    with Networks(bundle, "tensorrt") as networks:
        generators = Generators(networks)
        try:
            for _ in range(2):  # stream order, then the graph
                sound = generators.of(unguided)(frames, seeded_noise(PAPER, 0), Timings())
                np.testing.assert_allclose(sound, expected, rtol=0, atol=1e-4)
            clip = generators.clip(networks.device_engines, SAMPLING.steps)
            assert clip.replay.replays
            assert clip._memory["noise"].nbytes == clip._memory["latent"].nbytes
            guided = generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
            np.testing.assert_allclose(guided, sounds[SAMPLING], rtol=0, atol=1e-4)  # the host asks it twice
            assert "no unconditional branch, so guidance must be 1" in caplog.text
        finally:
            generators.close()


@ONE
def test_a_graph_from_before_a_shape_changed_is_dropped(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray
) -> None:
    generate, noise = generators.of(SAMPLING), seeded_noise(PAPER, 0)
    first = generate(frames, noise, Timings())
    conditioning = generators._networks.device_engines[CONDITIONING]
    features = np.zeros((1, PAPER.video_frames, 512), np.float32)
    for steps, captures in ((3, 1), (5, 2)):
        conditioning.run({"features": features, "timesteps": np.zeros(steps, np.float32)})
        np.testing.assert_array_equal(generate(frames, noise, Timings()), first)
        assert fake_gpu.calls.count("cuStreamBeginCapture") == captures
    generate(frames, noise, Timings())
    assert fake_gpu.calls[-2:] == ["cuGraphLaunch", "synchronize"]
    assert len(fake_gpu.executables) == 1


@ONE
def test_a_replay_follows_its_inputs(generators: Generators, frames: np.ndarray) -> None:
    generate = generators.of(SAMPLING)
    first = generate(frames, seeded_noise(PAPER, 0), Timings())
    others = [
        generate(255 - frames, seeded_noise(PAPER, 0), Timings()),
        generate(frames, seeded_noise(PAPER, 1), Timings()),
    ]
    assert not any(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(generate(frames, seeded_noise(PAPER, 0), Timings()), first)


@ONE
def test_the_second_clip_is_one_launch(generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray) -> None:
    generate, timings = generators.of(SAMPLING), Timings()
    generate(frames, seeded_noise(PAPER, 0), timings)
    assert list(timings.seconds) == STAGES
    done, timings = len(fake_gpu.calls), Timings()
    generate(frames, seeded_noise(PAPER, 0), timings)
    assert fake_gpu.calls[done:] == ["cuGraphLaunch", "synchronize"]
    assert list(timings.seconds) == [GRAPH]


@ONE
def test_other_guidance_and_another_solver_are_other_tables_under_the_same_graph(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray, sounds: dict[Sampling, np.ndarray]
) -> None:
    for settings in (SAMPLING, OTHER_GUIDANCE, OTHER_SOLVER):
        sound = generators.of(settings)(frames, seeded_noise(PAPER, 0), Timings())
        np.testing.assert_allclose(sound, sounds[settings], rtol=0, atol=1e-4)
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 1


def windows(generators: Generators, frames: np.ndarray, sampling: Sampling) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sound and latent of windows that know nothing, much, little and nothing again."""
    generate, made = generators.of(sampling), []
    for columns in (0, 26, 3, 0):
        known = Known(seeded_noise(PAPER, 8), columns, PAPER) if columns else None
        made.append(generate.go_on(frames, seeded_noise(PAPER, columns), known, Timings()))
    return made


def least_db(expected: list[tuple[np.ndarray, np.ndarray]], found: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of all sounds and latents."""
    pairs = zip(expected, found, strict=True)
    return min(snr_db(one, other) for before, after in pairs for one, other in zip(before, after, strict=True))


@ONE
@pytest.mark.parametrize("sampling", [SAMPLING, OTHER_SOLVER], ids=["dpm-2m", "unipc-3"])
def test_a_window_goes_on_from_what_is_known_as_through_the_host_under_the_same_graph(
    generators: Generators, fake_gpu: FakeGpu, bundle_path: Path, frames: np.ndarray, sampling: Sampling
) -> None:
    with Networks(Bundle.open(bundle_path), "onnxruntime", EngineOptions(threads=1)) as networks:
        expected = windows(Generators(networks), frames, sampling)
    found = windows(generators, frames, sampling)
    assert least_db(expected, found) > 60
    known = Known(seeded_noise(PAPER, 8), 26, PAPER)
    np.testing.assert_array_equal(found[1][1][known.part], known.latent[known.part])
    np.testing.assert_array_equal(found[3][1], found[0][1])
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 1
    assert fake_gpu.calls[-2:] == ["cuGraphLaunch", "synchronize"]


@ONE
def test_a_denoiser_that_was_trained_to_go_on_is_given_marks_under_the_same_graph(
    fake_gpu: FakeGpu, bundle_path: Path, tmp_path: Path, frames: np.ndarray
) -> None:
    pytest.importorskip("onnx", reason="ONNX makes the bundle that goes on")
    shutil.copytree(bundle_path, tmp_path / "columns")
    bundle = with_column_rows(tmp_path / "columns")
    write_plans(bundle.folder, machine())
    with Networks(bundle, "onnxruntime", EngineOptions(threads=1)) as networks:
        expected = windows(Generators(networks), frames, SAMPLING)
        networks.continues = False
        noisy = windows(Generators(networks), frames, SAMPLING)
    with Networks(bundle, "tensorrt") as networks:
        generators = Generators(networks)
        try:
            found = windows(generators, frames, SAMPLING)
        finally:
            generators.close()
    assert least_db(expected, found) > 60
    assert least_db(noisy[1:2], found[1:2]) < 30
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 1
    captured = fake_gpu.calls[fake_gpu.calls.index("cuStreamBeginCapture") : fake_gpu.calls.index("cuStreamEndCapture")]
    assert [call for call in captured if "memcpy" in call or call == "add_marks"] == [
        *["memcpy_htod_async"] * 4,
        "add_marks",
        *["memcpy_dtoh_async"] * 2,
    ]


@ONE
def test_a_table_that_was_brought_half_way_is_brought_again(
    generators: Generators,
    frames: np.ndarray,
    sounds: dict[Sampling, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = DeviceWindow.put

    def break_off(clip: DeviceWindow, name: str, array: np.ndarray) -> None:
        if name == "timesteps":
            raise EngineError("the device is lost")
        put(clip, name, array)

    generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
    with monkeypatch.context() as patch:
        patch.setattr(DeviceWindow, "put", break_off)
        assert isinstance(generators.of(OTHER_GUIDANCE), WindowGenerator)
    sound = generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
    np.testing.assert_allclose(sound, sounds[SAMPLING], rtol=0, atol=1e-4)


@ONE
def test_other_steps_are_captured_anew_in_the_place_of_the_old_ones(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray
) -> None:
    for steps in (3, 5):
        generators.of(SAMPLING.changed(steps=steps))(frames, seeded_noise(PAPER, 0), Timings())
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 2
    assert len(fake_gpu.executables) == 1


@ONE
def test_a_clip_copies_its_frames_its_noise_what_it_knows_its_latent_and_its_sound_and_nothing_else(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray
) -> None:
    generate = generators.of(SAMPLING)
    generate(frames, seeded_noise(PAPER, 0), Timings())
    captured = fake_gpu.calls[fake_gpu.calls.index("cuStreamBeginCapture") : fake_gpu.calls.index("cuStreamEndCapture")]
    moved = [call for call in captured if call not in ("cuStreamBeginCapture", "set_tensor_address")]
    step = ["execute_async_v3", "guided_step"]
    expected = ["memcpy_htod_async"] * 3 + ["prepare_rgb"] + ["execute_async_v3"] * 2 + 3 * step
    assert moved == [*expected, "execute_async_v3", "execute_async_v3", "memcpy_dtoh_async", "memcpy_dtoh_async"]


@ONE
def test_frames_of_any_size_are_prepared_on_the_device(
    generators: Generators, fake_gpu: FakeGpu, planned_bundle: Path
) -> None:
    shape = (PAPER.video_frames, 120, 160, 3)
    frames, noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8), seeded_noise(PAPER, 0)
    on_device = [generators.of(SAMPLING)(frames, noise, Timings()) for _ in range(2)][1]
    with Networks(Bundle.open(planned_bundle), "onnxruntime", EngineOptions(threads=1)) as networks:
        prepared = prepare_rgb(frames, 224).astype(np.float32)  # FFmpeg's own scaler rounds to bytes
        on_host = WindowGenerator(networks, SAMPLING)(prepared, noise, Timings())
    np.testing.assert_allclose(on_device, on_host, rtol=0, atol=1e-4)
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 1  # only of this size


@ONE
@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((PAPER.video_frames, 3, 224, 224), "float32", r"expected frames as uint8 \[frames, height"),
        ((5, 224, 224, 3), "uint8", r"expected frames \[32, 224, 224, 3\], got \[5, 224, 224, 3\]"),
    ],
)
def test_other_frames_are_refused(generators: Generators, shape: tuple[int, ...], dtype: str, reason: str) -> None:
    with pytest.raises(TensorError, match=reason):
        generators.of(SAMPLING)(np.zeros(shape, dtype), seeded_noise(PAPER, 0), Timings())


@ONE
def test_every_step_reads_its_own_modulations_where_conditioning_wrote_them(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = generators._networks.device_engines
    seen: list[int] = []
    real = engines[DENOISER].set_address
    monkeypatch.setattr(
        engines[DENOISER],
        "set_address",
        lambda name, at: (seen.append(at) if name == "modulations" else None, real(name, at)),
    )
    generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
    written = generators.clip(engines, 3)._memory["all_modulations"]
    assert seen == 2 * [written.address + i * written.nbytes // 3 for i in range(3)]  # stream order, then the capture


@ONE
def test_the_steps_are_reported_once_they_are_done(generators: Generators, frames: np.ndarray) -> None:
    done: list[int] = []
    generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings(), done.append)
    assert done == [3]


@ONE
@pytest.mark.parametrize(
    "refused", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"]
)
def test_where_capture_is_refused_it_goes_on_in_stream_order_and_says_so_once(
    generators: Generators,
    fake_gpu: FakeGpu,
    frames: np.ndarray,
    sounds: dict[Sampling, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    refused: str,
) -> None:
    fake_gpu.fail_on = {refused}
    for _ in range(2):
        sound = generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
        np.testing.assert_allclose(sound, sounds[SAMPLING], rtol=0, atol=1e-4)
    (said,) = caplog.messages
    assert said.startswith("the clip is not one CUDA graph, and goes on in stream order: CUDA could not")
    assert fake_gpu.calls.count("cuStreamBeginCapture") == 1


@ONE
def test_a_launch_refused_while_capturing_ends_the_capture(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    generate = generators.of(SAMPLING)
    probe = FakeGpu.call

    def failing(gpu: FakeGpu, name: str) -> bool:
        return probe(gpu, name) or (gpu.capturing is not None and name == "execute_async_v3")

    fake_gpu.call = failing.__get__(fake_gpu)  # type: ignore[method-assign]
    generate(frames, seeded_noise(PAPER, 0), Timings())
    assert fake_gpu.capturing is None
    assert "TensorRT could not run it: Error Code 1: enqueue failed" in caplog.text


@ONE
def test_a_graph_that_sounds_different_is_not_used(
    generators: Generators, fake_gpu: FakeGpu, frames: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    bindings = fake_gpu.bindings
    launch = bindings.cuGraphLaunch

    def corrupting(executable: int, stream: int) -> object:
        result = launch(executable, stream)
        clip = generators._clip
        assert clip is not None
        clip._host["waveform"].array[0, 0] += 1e-7
        return result

    bindings.cuGraphLaunch = corrupting  # type: ignore[attr-defined]
    generators.of(SAMPLING)(frames, seeded_noise(PAPER, 0), Timings())
    assert "replayed it sounds different" in caplog.text
    assert not fake_gpu.executables


@ONE
def test_steps_that_no_plan_takes_are_refused_up_front(
    generators: Generators, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(generators.of(SAMPLING.changed(steps=9)), WindowGenerator)
    assert "the plan takes 1 to 8 steps, not 9: build plans for it with mdsgen-export" in caplog.text


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_the_pipeline_takes_the_way_over_the_gpu_by_itself(planned_bundle: Path, frames: np.ndarray) -> None:
    video = frames.repeat(2, axis=0)[:44, ::2, ::2]  # three windows, which go on from each other
    with Pipeline.open(planned_bundle) as pipeline, Pipeline.open(planned_bundle, "onnxruntime") as host:
        assert pipeline.engine == "tensorrt"
        sounds = [made(video, seed=1, steps=3) for made in (pipeline, pipeline, host)]
    np.testing.assert_array_equal(sounds[0].audio, sounds[1].audio)
    np.testing.assert_allclose(sounds[0].audio, sounds[2].audio, rtol=0, atol=1e-4)
    assert GRAPH in sounds[1].timings


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_live_sound_goes_on_over_the_gpu_as_through_the_host(planned_bundle: Path, frames: np.ndarray) -> None:
    sounds, latencies = [], []
    for engine in ("tensorrt", "onnxruntime"):
        with (
            Pipeline.open(planned_bundle, engine) as pipeline,
            pipeline.live(frame_rate=4, block=1.0, sampling=SAMPLING) as live,
        ):
            blocks = [block for picture in frames[:16] for block in live.push(picture)]
            sounds.append(np.concatenate([*blocks, live.finish()]))
            latencies.append(live.latency - live.statistics.longest)
    assert snr_db(sounds[1], sounds[0]) > 60
    assert latencies[0] == pytest.approx(latencies[1])
