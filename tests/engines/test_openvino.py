"""Real ONNX files in OpenVINO, where it is installed: the same as ONNX Runtime's, through the same protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bundle import DENOISER, Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.errors import EngineError, TensorError
from mdsgen.runtime import Networks, Timings, WindowGenerator, seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.tensor import TensorSpec
from tests.children import finished

FIXTURES = Path(__file__).parents[1] / "fixtures"
AFFINE = FIXTURES / "affine.onnx"


def feeds(steps: int, gain: float = 2.0) -> dict[str, np.ndarray]:
    x = np.arange(steps * 4, dtype=np.float32).reshape(steps, 4)  # [steps, 4]
    return {"x": x, "gain": np.array([gain], np.float32)}


def affine(given: dict[str, np.ndarray]) -> np.ndarray:
    y: np.ndarray = given["x"] * given["gain"] + np.arange(4, dtype=np.float32)  # [steps, 4]
    return y


def test_where_it_is_missing_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineError, match=r"OpenVINO cannot be imported .*: pip install 'mdsgen\[openvino\]'"):
        open_engine(AFFINE, "openvino")


AFTERWARDS = """
import gc, signal, sys
import numpy as np
from mdsgen import Pipeline
for _ in range(2):
    with Pipeline.open(sys.argv[1], "openvino", threads=1) as pipeline:
        pipeline(np.zeros((8, 48, 64, 3), np.uint8), steps=1)
    del pipeline
    gc.collect()
signal.signal(signal.SIGINT, lambda number, frame: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


@pytest.fixture
def _openvino() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'mdsgen[openvino]'")


@pytest.mark.usefixtures("_openvino")
class TestInstalled:
    def test_inputs_and_outputs_are_known_before_the_first_run(self) -> None:
        with open_engine(AFFINE, "openvino") as engine:
            assert engine.inputs == (TensorSpec("x", "float32", ("?", 4)), TensorSpec("gain", "float32", (1,)))
            assert engine.outputs == (TensorSpec("y", "float32", ("?", 4)),)
            assert (engine.name, engine.graph, engine.providers) == ("openvino", "affine", ())

    def test_a_run_computes_the_graph_for_any_number_of_steps(self) -> None:
        with open_engine(AFFINE, "openvino") as engine:
            for steps in (1, 5, 2):
                np.testing.assert_allclose(engine.run(feeds(steps))["y"], affine(feeds(steps)), rtol=1e-6)

    def test_outputs_belong_to_the_caller(self) -> None:
        with open_engine(AFFINE, "openvino") as engine:
            first = engine.run(feeds(2))["y"]
            engine.run(feeds(2, gain=-1.0))
        np.testing.assert_array_equal(first, affine(feeds(2)))

    def test_bound_runs_read_and_write_in_place_each_in_its_own_shape(self) -> None:
        with open_engine(AFFINE, "openvino") as engine:
            bound = [(feeds(steps), np.zeros((steps, 4), np.float32)) for steps in (2, 3)]
            runs = [engine.bind(given, {"y": y}) for given, y in bound]
            for gain in (1.0, -3.0):
                for (given, y), run in zip(bound, runs, strict=True):
                    given["gain"][0] = gain
                    run()
                    np.testing.assert_array_equal(y, affine(given))

    def test_what_cannot_be_opened_or_fed_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"no graph")
        with pytest.raises(EngineError, match="broken: OpenVINO could not open it"):
            open_engine(tmp_path / "broken.onnx", "openvino")
        with pytest.raises(EngineError, match="nowhere: there is no ONNX file"):
            open_engine(tmp_path / "nowhere.onnx", "openvino")
        with open_engine(AFFINE, "openvino") as engine, pytest.raises(TensorError, match="missing"):
            engine.run({"x": np.zeros((2, 4), np.float32)})

    @pytest.mark.parametrize(("options", "least"), [(EngineOptions(1), 80), (EngineOptions(1, bfloat16=True), 25)])
    def test_a_denoiser_gives_what_onnx_runtime_gives(
        self, bundle_path: Path, options: EngineOptions, least: float
    ) -> None:
        path, random = Bundle.open(bundle_path).path(DENOISER), np.random.default_rng(0)
        found = []
        for name in ("onnxruntime", "openvino"):
            with open_engine(path, name, options) as engine:
                given = {
                    spec.name: random.standard_normal([int(n) for n in spec.shape]).astype(np.float32)
                    for spec in engine.inputs
                }
                found.append(engine.run(given)["noise"])
                random = np.random.default_rng(0)
        expected, mine = found
        assert 10 * np.log10((expected**2).sum() / ((expected - mine) ** 2).sum()) > least

    def test_a_signal_after_closing_is_handled(self, bundle_path: Path) -> None:
        """OpenVINO leaves the thread a stack for signals that must not go with its memory."""
        child = finished([sys.executable, "-c", AFTERWARDS, str(bundle_path)])
        assert (child.returncode, child.stdout, child.stderr) == (0, "handled\n", "")

    def test_a_whole_clip_sounds_the_same(self, bundle_path: Path) -> None:
        settings = Sampling(3, 2.0, 0.01, guidance_interval=(0.0, 700.0))
        frames = np.random.default_rng(0).random((32, 3, 224, 224), dtype=np.float32)
        sounds = []
        for name in ("onnxruntime", "openvino"):
            with Networks(Bundle.open(bundle_path), name) as networks:
                noise = seeded_noise(networks.geometry, 0)
                sounds.append(WindowGenerator(networks, settings)(frames, noise, Timings()))
        np.testing.assert_allclose(sounds[1], sounds[0], atol=1e-3)
