"""Real ONNX files in real sessions: ``affine.onnx`` is y = x · gain + (0, 1, 2, 3), with a free number of steps."""

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.onnxruntime import OnnxRuntimeEngine
from mdsgen.errors import EngineError, TensorError
from mdsgen.tensor import TensorSpec

FIXTURES = Path(__file__).parents[1] / "fixtures"
AFFINE = FIXTURES / "affine.onnx"


def feeds(steps: int, gain: float = 2.0) -> dict[str, np.ndarray]:
    x = np.arange(steps * 4, dtype=np.float32).reshape(steps, 4)  # [steps, 4]
    return {"x": x, "gain": np.array([gain], np.float32)}


def affine(feeds: dict[str, np.ndarray]) -> np.ndarray:
    y: np.ndarray = feeds["x"] * feeds["gain"] + np.arange(4, dtype=np.float32)  # [steps, 4]
    return y


# Tensors


def test_inputs_and_outputs_are_known_before_the_first_run() -> None:
    with OnnxRuntimeEngine(AFFINE) as engine:
        assert engine.inputs == (TensorSpec("x", "float32", ("steps", 4)), TensorSpec("gain", "float32", (1,)))
        assert engine.outputs == (TensorSpec("y", "float32", ("steps", 4)),)
        assert (engine.name, engine.graph, engine.providers) == ("onnxruntime", "affine", ("CPUExecutionProvider",))


def test_dtypes_have_numpys_names() -> None:
    with OnnxRuntimeEngine(FIXTURES / "cast.onnx") as engine:
        assert engine.inputs == (TensorSpec("frames", "uint8", (2, 3)),)
        assert engine.outputs == (TensorSpec("level", "float16", (2, 3)),)
        level = engine.run({"frames": np.full((2, 3), 7, np.uint8)})["level"]
    assert level.dtype == np.float16
    assert (level == 7).all()


# Running


@settings(max_examples=20)
@given(steps=st.integers(1, 9), gain=st.floats(-100, 100, width=32))
def test_a_run_computes_the_graph_for_any_number_of_steps(steps: int, gain: float) -> None:
    given = feeds(steps, gain)
    with OnnxRuntimeEngine(AFFINE) as engine:
        np.testing.assert_allclose(engine.run(given)["y"], affine(given), rtol=1e-6, atol=1e-4)


def test_outputs_belong_to_the_caller() -> None:
    with OnnxRuntimeEngine(AFFINE) as engine:
        first = engine.run(feeds(2))["y"]
        kept = first.copy()
        second = engine.run(feeds(2, gain=-1.0))["y"]
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_a_strided_input_runs_as_what_it_shows() -> None:
    wide = np.arange(24, dtype=np.float32).reshape(3, 8)
    given = {"x": wide[:, ::2], "gain": np.ones(1, np.float32)}
    with OnnxRuntimeEngine(AFFINE) as engine:
        np.testing.assert_array_equal(engine.run(given)["y"], affine(given))


def test_weights_in_a_file_of_their_own_are_found(tmp_path: Path) -> None:
    for file in ("external.onnx", "external.bin"):
        shutil.copy(FIXTURES / file, tmp_path)
    with OnnxRuntimeEngine(tmp_path / "external.onnx") as engine:
        np.testing.assert_array_equal(engine.run(feeds(3))["y"], affine(feeds(3)))
    (tmp_path / "external.bin").unlink()
    with pytest.raises(EngineError, match="external: ONNX Runtime could not open it"):
        OnnxRuntimeEngine(tmp_path / "external.onnx")


@pytest.mark.parametrize(
    "options",
    [
        EngineOptions(threads=1),
        EngineOptions(fold_constants=False),
        EngineOptions(bfloat16=True),
        EngineOptions(threads=2, fold_constants=False),
    ],
)
def test_every_option_computes_the_same(options: EngineOptions) -> None:
    with OnnxRuntimeEngine(AFFINE, options) as engine:
        for _ in range(2):
            np.testing.assert_array_equal(engine.run(feeds(3))["y"], affine(feeds(3)))


# Binding


def test_a_bound_run_reads_and_writes_in_place() -> None:
    inputs, y = feeds(2), np.zeros((2, 4), np.float32)
    with OnnxRuntimeEngine(AFFINE) as engine:
        run_bound = engine.bind(inputs, {"y": y})
        assert not y.any()
        for gain in (1.0, -3.0):
            inputs["gain"][0] = gain
            inputs["x"] += 1
            run_bound()
            np.testing.assert_array_equal(y, affine(inputs))


def test_a_bound_output_can_be_the_next_input() -> None:
    x, gain = np.zeros((2, 4), np.float32), np.ones(1, np.float32)
    with OnnxRuntimeEngine(AFFINE) as engine:
        run_bound = engine.bind({"x": x, "gain": gain}, {"y": x})
        for _ in range(3):
            run_bound()
    np.testing.assert_array_equal(x, np.tile(3 * np.arange(4, dtype=np.float32), (2, 1)))


def test_a_bound_function_keeps_its_arrays_alive() -> None:
    with OnnxRuntimeEngine(AFFINE) as engine:
        inputs = feeds(2)
        alive = weakref.ref(inputs["x"])
        run_bound = engine.bind(inputs, {"y": np.zeros((2, 4), np.float32)})
        del inputs
        gc.collect()
        assert alive() is not None
        run_bound()
        del run_bound
        gc.collect()
        assert alive() is None


def test_an_output_of_another_length_than_the_input_gives_is_refused() -> None:
    y = np.zeros((3, 4), np.float32)
    with OnnxRuntimeEngine(AFFINE) as engine, pytest.raises(EngineError, match="affine: ONNX Runtime could not run it"):
        engine.bind(feeds(2), {"y": y})()
    assert not y.any()


# Refusing


class Untouchable:
    """Stands where the session stood, and fails whoever uses it."""

    def __getattr__(self, name: str) -> None:
        pytest.fail(f"the session saw {name}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.zeros((2, 4), np.float32)},
        {**feeds(2), "bias": np.zeros(4, np.float32)},
        {**feeds(2), "gain": np.array([2.0])},
        {**feeds(2), "x": np.zeros((2, 5), np.float32)},
        {**feeds(2), "x": np.zeros((2, 4), ">f4")},
    ],
    ids=["missing", "unknown", "dtype", "shape", "byte order"],
)
def test_wrong_feeds_are_refused_before_the_session_sees_them(wrong: dict[str, np.ndarray]) -> None:
    engine = OnnxRuntimeEngine(AFFINE)
    engine._session = Untouchable()
    with pytest.raises(TensorError, match="affine, inputs: expected"):
        engine.run(wrong)


def test_a_provider_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    available = ", ".join(onnxruntime.get_available_providers())
    options = EngineOptions(providers=("NoSuchExecutionProvider", "CPUExecutionProvider"))
    with pytest.raises(EngineError, match=f"cannot use NoSuchExecutionProvider here: available are {available}"):
        OnnxRuntimeEngine(AFFINE, options)


def test_a_provider_that_the_session_drops_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session = onnxruntime.InferenceSession

    def without_cuda(path: str, options: object, providers: list[str], **more: Any) -> onnxruntime.InferenceSession:
        return session(path, options, providers=[name for name in providers if name == "CPUExecutionProvider"], **more)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(EngineError, match="affine: ONNX Runtime cannot use CUDAExecutionProvider here"):
        OnnxRuntimeEngine(AFFINE, EngineOptions(providers=tuple(names)))


def test_a_file_that_is_not_there_or_not_onnx_is_one_line_with_the_graphs_name(tmp_path: Path) -> None:
    (tmp_path / "vocoder.onnx").write_bytes(b"not a graph" * 10)
    with pytest.raises(EngineError, match="vocoder: ONNX Runtime could not open it") as refusal:
        OnnxRuntimeEngine(tmp_path / "vocoder.onnx")
    assert "\n" not in str(refusal.value)
    with pytest.raises(EngineError, match="denoiser: there is no ONNX file at"):
        OnnxRuntimeEngine(tmp_path / "denoiser.onnx")


def test_a_run_that_fails_is_one_line_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((4, 5), np.float32)}
    message = r"product: ONNX Runtime could not run it: .*dimension mismatch"
    with OnnxRuntimeEngine(FIXTURES / "product.onnx") as engine, pytest.raises(EngineError, match=message) as failure:
        engine.run(wrong)
    assert "\n" not in str(failure.value)
    assert capfd.readouterr() == ("", "")


def test_a_closed_engine_refuses_to_run_and_lets_its_session_go() -> None:
    with OnnxRuntimeEngine(AFFINE) as engine:
        session = weakref.ref(engine._session)
    gc.collect()
    assert session() is None
    with pytest.raises(EngineError, match="affine: the engine is closed"):
        engine.run(feeds(1))


# Choosing


@pytest.mark.parametrize("name", ["auto", "onnxruntime"])
def test_an_engine_is_opened_by_its_name(name: str) -> None:
    with open_engine(AFFINE, name, EngineOptions(threads=1)) as engine:
        assert engine.name in (["onnxruntime"] if name != "auto" else ["onnxruntime", "openvino"])
        np.testing.assert_array_equal(engine.run(feeds(3))["y"], affine(feeds(3)))


@pytest.mark.parametrize("name", ["auto", "onnxruntime", "openvino"])
def test_a_graph_that_is_not_there_is_one_line_with_every_engine(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="denoiser: there is no ONNX file at"):
        open_engine(tmp_path / "denoiser.onnx", name)


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(EngineError, match="'tpu' is unknown: expected one of auto, onnxruntime, openvino, tensorrt"):
        open_engine(AFFINE, "tpu")


def test_a_provider_that_fails_is_not_replaced_by_the_cpu() -> None:
    """ONNX Runtime's own fall-back would print a line to stdout and go on without the provider."""
    with OnnxRuntimeEngine(AFFINE) as engine:
        assert not engine._session._enable_fallback
