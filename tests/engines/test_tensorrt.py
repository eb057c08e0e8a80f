"""TensorRT's adapter on a GPU made of host memory, for every generation of TensorRT's interface."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, VOCODER, Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.device import DeviceEngine, share_activations
from mdsgen.engines.plans import PLANS_FOLDER, RECORD_FILE, Machine, PlanRecord, find_plan
from mdsgen.engines.tensorrt import TensorRtEngine
from mdsgen.errors import EngineError, MdsgenError, TensorError
from mdsgen.geometry import PAPER
from tests.engines.fake_gpu import FakeGpu
from tests.planned import end_process, machine, write_plans

ONE = pytest.mark.parametrize("trt_major", [10], indirect=True)


@pytest.fixture
def log_mel() -> np.ndarray:
    shape = (1, PAPER.mel_frames, PAPER.mel.bins)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def onnx_of(bundle: Path, graph: str) -> Path:
    return Bundle.open(bundle).path(graph)


# Running


@pytest.mark.usefixtures("fake_gpu")
def test_computes_what_the_graph_computes(planned_bundle: Path, log_mel: np.ndarray) -> None:
    path = onnx_of(planned_bundle, VOCODER)
    with open_engine(path, "onnxruntime", EngineOptions(threads=1)) as reference:
        expected = reference.run({"log_mel": log_mel})["waveform"]
    with open_engine(path, "tensorrt") as engine:
        assert [str(s) for s in (*engine.inputs, *engine.outputs)] == [
            str(s) for s in (*reference.inputs, *reference.outputs)
        ]
        found = engine.run({"log_mel": log_mel})["waveform"]
        again = engine.run({"log_mel": 1 - log_mel})["waveform"]
        sound = np.zeros_like(found)
        engine.bind({"log_mel": log_mel}, {"waveform": sound})()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found, sound)
    assert not np.array_equal(found, again)


@pytest.mark.usefixtures("fake_gpu")
def test_a_length_chosen_at_run_time_is_within_the_plan_s(planned_bundle: Path) -> None:
    features = np.ones((1, PAPER.video_frames, 512), np.float32)
    with open_engine(onnx_of(planned_bundle, CONDITIONING), "tensorrt") as engine:
        for steps in (2, 8, 3):
            feeds = {"features": features, "timesteps": np.arange(steps, dtype=np.float32)}
            assert engine.run(feeds)["modulations"].shape[:2] == (steps, 2)
        with pytest.raises(EngineError, match=r"takes timesteps of length 1 to 8, not 9: build plans for it"):
            engine.run({"features": features, "timesteps": np.zeros(9, np.float32)})


@pytest.mark.usefixtures("fake_gpu")
def test_wrong_arrays_never_reach_the_device_and_a_closed_engine_refuses(
    planned_bundle: Path, log_mel: np.ndarray
) -> None:
    engine = open_engine(onnx_of(planned_bundle, VOCODER), "tensorrt")
    with pytest.raises(TensorError, match="expected log_mel float32"):
        engine.run({"log_mel": log_mel[:, 1:]})
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"log_mel": log_mel})


def test_engines_share_one_activation_memory_and_one_device(fake_gpu: FakeGpu, planned_bundle: Path) -> None:
    engines = [open_engine(onnx_of(planned_bundle, name), "tensorrt") for name in GRAPHS]
    on_device = [engine for engine in engines if isinstance(engine, DeviceEngine)]
    memory = share_activations(on_device)
    assert len(on_device) == len(GRAPHS)
    assert memory.nbytes == 1024 * len(GRAPHS)  # the greediest's
    assert list(fake_gpu.memory) == [memory.address]
    assert fake_gpu.calls.count("retain_primary_context") == 1
    for engine in engines:
        engine.close()
    memory.free()


@ONE
def test_whichever_call_fails_everything_is_given_back_once(
    fake_gpu: FakeGpu, planned_bundle: Path, log_mel: np.ndarray
) -> None:
    path = onnx_of(planned_bundle, VOCODER)

    def once() -> None:
        with open_engine(path, "tensorrt") as engine:
            engine.run({"log_mel": log_mel})

    once()
    for index in range(len(fake_gpu.calls)):
        end_process()
        fake_gpu.calls.clear()
        fake_gpu.fail_at = index
        with suppress(MdsgenError):  # the last wait, when all is done, may fail in silence
            once()
        assert fake_gpu.leaks() == {}, f"after call {index}, {fake_gpu.calls[index]}"


@ONE
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("deserialize_cuda_engine", "vocoder: TensorRT could not open .*: Serialization failed; build the plans again"),
        ("create_execution_context", "vocoder: TensorRT could not make a context for it"),
        ("set_tensor_address", "vocoder: TensorRT refused the address of"),
        ("execute_async_v3", "vocoder: TensorRT could not run it: Error Code 1: enqueue failed"),
        ("mem_alloc", r"CUDA could not allocate 0\.2 MiB of device memory: mem_alloc failed"),
        ("synchronize", "CUDA could not finish what is on the stream"),
    ],
)
def test_an_error_says_what_failed(
    fake_gpu: FakeGpu, planned_bundle: Path, log_mel: np.ndarray, call: str, message: str
) -> None:
    fake_gpu.fail_on = {call}
    with pytest.raises(EngineError, match=message), open_engine(onnx_of(planned_bundle, VOCODER), "tensorrt") as engine:
        engine.run({"log_mel": log_mel})


# Which plan


@ONE
@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gpu", "Orin", r"the plan is for another machine \(GPU Orin, here Fake GPU\)"),
        ("tensorrt", "8.5.2", r"TensorRT 8.5.2, here 10.13.3"),
        ("compute_capability", "8.6", r"compute capability 8.6, here 8.7"),
        ("cuda", "11.4", r"CUDA 11.4, here 12.6"),
    ],
)
def test_a_plan_of_another_machine_is_refused_and_the_command_named(
    bundle_path: Path, tmp_path: Path, field: str, value: str, message: str
) -> None:
    bundle = copied(bundle_path, tmp_path)
    write_plans(bundle, dataclasses.replace(machine(), **{field: value}))
    with pytest.raises(EngineError, match=message) as refusal:
        open_engine(onnx_of(bundle, VOCODER), "tensorrt")
    assert f"build the plans again: mdsgen-export --bundle {bundle} --engine tensorrt" in str(refusal.value)


def test_the_plans_of_several_machines_live_beside_each_other(bundle_path: Path, tmp_path: Path) -> None:
    bundle = copied(bundle_path, tmp_path)
    others = [dataclasses.replace(machine(), gpu=name) for name in ("A", "Z")]
    folders = {built_for.gpu: write_plans(bundle, built_for) for built_for in [*others, machine()]}
    path, _ = find_plan(onnx_of(bundle, VOCODER), machine())
    assert path == folders["Fake GPU"] / "vocoder.plan"


@pytest.mark.parametrize(
    ("options", "here", "accepted"),
    [
        ({"version_compatible": True}, {"tensorrt": "10.16.0", "cuda": "13.0"}, True),
        ({"version_compatible": True}, {"tensorrt": "11.0.0"}, False),
        ({"hardware_compatible": "ampere+"}, {"gpu": "NVIDIA H200", "compute_capability": "9.0"}, True),
        ({"hardware_compatible": "ampere+"}, {"gpu": "NVIDIA T4", "compute_capability": "7.5"}, False),
        ({"hardware_compatible": "same-compute-capability"}, {"gpu": "Another Orin"}, True),
        ({"hardware_compatible": "same-compute-capability"}, {"compute_capability": "8.9"}, False),
    ],
)
def test_a_compatible_plan_may_run_elsewhere(options: dict[str, object], here: dict[str, str], accepted: bool) -> None:
    record = PlanRecord(machine(), {}, {}, options)
    assert (record.differences(dataclasses.replace(machine(), **here)) == []) == accepted


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_a_plan_of_a_changed_graph_or_changed_weights_is_refused(planned_bundle: Path) -> None:
    for name in ("vocoder.weights", "vocoder.onnx"):
        path = planned_bundle / name
        before = path.read_bytes()
        path.write_bytes(before + b"x")
        with pytest.raises(EngineError, match=f"vocoder: {name} has changed since the plan was built; build the plans"):
            open_engine(planned_bundle / "vocoder.onnx", "tensorrt")
        path.write_bytes(before)


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_a_damaged_plan_is_refused(planned_bundle: Path) -> None:
    (plan,) = planned_bundle.glob(f"{PLANS_FOLDER}/*/vocoder.plan")
    plan.write_bytes(plan.read_bytes() + b" ")
    with pytest.raises(EngineError, match=r"vocoder: the plan .*vocoder.plan is damaged"):
        open_engine(planned_bundle / "vocoder.onnx", "tensorrt")
    plan.unlink()
    with pytest.raises(EngineError, match="vocoder: there is no plan at"):
        open_engine(planned_bundle / "vocoder.onnx", "tensorrt")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}}', json.dumps({"machine": 3})])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    folder = tmp_path / PLANS_FOLDER / "here"
    folder.mkdir(parents=True)
    (folder / RECORD_FILE).write_text(content)
    with pytest.raises(EngineError, match=r"plan.json cannot be read .* build the plans again"):
        find_plan(tmp_path / "vocoder.onnx", machine())


def test_what_is_being_built_is_no_plan(tmp_path: Path) -> None:
    folder = tmp_path / PLANS_FOLDER / ".mdsgen-01234567-here"
    folder.mkdir(parents=True)
    PlanRecord(machine(), {}, {}).write(folder)
    with pytest.raises(EngineError, match="there are no TensorRT plans in"):
        find_plan(tmp_path / "vocoder.onnx", machine())


def test_a_record_reads_what_it_wrote(tmp_path: Path) -> None:
    record = PlanRecord(machine(), {"a": {"a.onnx": "1"}}, {"a": "2"}, {"workspace": None}, [{"graph": "a"}])
    record.write(tmp_path)
    assert PlanRecord.read(tmp_path) == record


def test_a_machine_s_key_is_a_folder_name() -> None:
    assert Machine("10.3.0", "Orin (nvgpu)/Ω", "8.7", "12.6").key == "orin-nvgpu-sm87-tensorrt10.3.0-cuda12.6"


# Which engine


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_auto_takes_tensorrt_where_its_plans_open(planned_bundle: Path) -> None:
    with open_engine(planned_bundle / "vocoder.onnx") as engine:
        assert engine.name == "tensorrt"


@ONE
def test_auto_says_once_why_it_is_not_tensorrt(
    fake_gpu: FakeGpu, planned_bundle: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no OpenVINO that may be the faster one
    fake_gpu.fail_on = {"mem_alloc", "deserialize_cuda_engine"}
    for _ in range(2):
        with open_engine(planned_bundle / "vocoder.onnx") as engine:
            assert engine.name == "onnxruntime"
    (said,) = caplog.messages
    assert said.endswith("running on onnxruntime instead")


def test_auto_without_plans_and_without_tensorrt_says_nothing(
    bundle_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with open_engine(bundle_path / "vocoder.onnx") as engine:
        assert engine.name == "onnxruntime"
    assert not caplog.messages


# What is missing


def test_without_tensorrt_it_says_how_to_get_it(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match=r"TensorRT cannot be imported .*pip install 'mdsgen\[tensorrt\]'"):
        open_engine(bundle_path / "vocoder.onnx", "tensorrt")


@ONE
@pytest.mark.usefixtures("fake_gpu")
def test_without_pycuda_it_says_how_to_get_it(planned_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineError, match=r"pycuda cannot be imported .*pip install 'mdsgen\[tensorrt\]'"):
        open_engine(planned_bundle / "vocoder.onnx", "tensorrt")


@ONE
def test_without_a_gpu_it_says_so(fake_gpu: FakeGpu, planned_bundle: Path) -> None:
    fake_gpu.fail_on = {"init"}
    with pytest.raises(EngineError, match="CUDA could not use the GPU: init failed"):
        TensorRtEngine(planned_bundle / "vocoder.onnx")


def test_without_plans_it_says_how_to_build_them(fake_gpu: FakeGpu, bundle_path: Path) -> None:
    with pytest.raises(EngineError, match=r"denoiser: there are no TensorRT plans in .* mdsgen-export --bundle .*"):
        open_engine(bundle_path / f"{DENOISER}.onnx", "tensorrt")
    assert fake_gpu.leaks() == {}


def copied(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copied"))
