"""A graph that an engine has optimised is kept, and computes the same to the bit; what is damaged is made anew."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bundle import DENOISER, LATENT_DECODER, Bundle
from mdsgen.cache import cache_folder
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.engines.optimised import COMPILED, GRAPH, INTERFACE, MOST, SUMS, WEIGHTS
from mdsgen.runtime import Networks

OPTIONS = EngineOptions(threads=1, checksum="a")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "cache"))


def kept() -> list[Path]:
    return sorted(cache_folder("graphs").glob("*")) if cache_folder("graphs").is_dir() else []


def output(bundle: Bundle, options: EngineOptions, engine_name: str = "onnxruntime") -> np.ndarray:
    rng = np.random.default_rng(0)
    with open_engine(bundle.path(DENOISER), engine_name, options) as engine:
        shapes = {spec.name: [2 if isinstance(n, str) else n for n in spec.shape] for spec in engine.inputs}
        feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        return engine.run(feeds)["noise"]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_kept_graph_computes_the_same_to_the_bit(bundle_path: Path, engine: str) -> None:
    pytest.importorskip(engine)
    bundle = Bundle.open(bundle_path)
    plain = output(bundle, EngineOptions(threads=1), engine)
    assert not kept(), "without a checksum nothing is kept"
    first, again = output(bundle, OPTIONS, engine), output(bundle, OPTIONS, engine)
    assert len(kept()) == 1
    np.testing.assert_array_equal(first, plain)
    np.testing.assert_array_equal(again, plain)


def test_what_openvino_has_compiled_is_not_compiled_again(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    bundle = Bundle.open(bundle_path)
    before = output(bundle, OPTIONS, "openvino")
    monkeypatch.setattr("mdsgen.engines.openvino._compiled_into", None)
    np.testing.assert_array_equal(output(bundle, OPTIONS, "openvino"), before)


def test_a_network_of_fixed_shapes_that_openvino_has_kept_needs_neither_its_onnx_file_nor_a_second_one_to_be_bound(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    path, given = Bundle.open(bundle_path).path(LATENT_DECODER), {}
    with open_engine(path, "openvino", OPTIONS) as engine:
        (latent,), (log_mel,) = engine.inputs, engine.outputs
        given["latent"] = np.ones([int(length) for length in latent.shape], np.float32)
        expected = engine.run(given)[log_mel.name]
    for name in ("_read", "_compiled"):
        monkeypatch.setattr(f"mdsgen.engines.openvino.OpenVinoEngine.{name}", None)
    found = np.zeros_like(expected)
    with open_engine(path, "openvino", OPTIONS) as engine:
        assert (engine.inputs, engine.outputs) == ((latent,), (log_mel,))
        engine.bind(given, {log_mel.name: found})()
    np.testing.assert_array_equal(found, expected)


def test_what_openvino_has_kept_has_the_names_of_its_graph_where_a_compiled_one_has_several(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    path, given = half_graph(tmp_path / "half.onnx"), {"latent": np.arange(4, dtype=np.float32)}
    for _ in range(2):
        with open_engine(path, "openvino", OPTIONS) as engine:
            assert [spec.name for spec in (*engine.inputs, *engine.outputs)] == ["latent", "noise"]
            np.testing.assert_array_equal(engine.run(given)["noise"], 2 * given["latent"])
    assert len(kept()) == 1


def half_graph(path: Path) -> Path:
    """One that computes in FP16 between casts, as an exported graph does."""
    from onnx import TensorProto, helper, save

    nodes = [
        helper.make_node("Cast", ["latent"], ["graph_input_cast_0"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["graph_input_cast_0"] * 2, ["graph_output_cast_0"]),
        helper.make_node("Cast", ["graph_output_cast_0"], ["noise"], to=TensorProto.FLOAT),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("latent", "noise")]
    graph = helper.make_graph(nodes, "half", tensors[:1], tensors[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("onnxruntime", GRAPH),
        ("onnxruntime", WEIGHTS),
        ("onnxruntime", SUMS),
        ("openvino", COMPILED),
        ("openvino", INTERFACE),
    ],
)
def test_one_of_which_a_bit_has_flipped_is_made_anew(bundle_path: Path, engine: str, name: str) -> None:
    pytest.importorskip(engine)
    bundle = Bundle.open(bundle_path)
    plain = output(bundle, OPTIONS, engine)
    (folder,) = kept()
    before = (folder / name).read_bytes()
    damaged = before[:-9] + bytes([before[-9] ^ 1]) + before[-8:]
    (folder / name).write_bytes(damaged)
    np.testing.assert_array_equal(output(bundle, OPTIONS, engine), plain)
    assert (folder / name).read_bytes() != damaged  # nor always as before: older ONNX Runtime counts some names up


def test_other_weights_and_other_options_are_another_graph(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    for options in (OPTIONS, EngineOptions(threads=1, checksum="b"), EngineOptions(threads=2, checksum="a")):
        output(bundle, options)
    assert len(kept()) == 3


def test_a_place_that_cannot_be_written_keeps_nothing_and_runs_all_the_same(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "file"))
    bundle = Bundle.open(bundle_path)
    np.testing.assert_array_equal(output(bundle, OPTIONS), output(bundle, EngineOptions(threads=1)))


def test_the_oldest_go(bundle_path: Path) -> None:
    for number in range(MOST + 3):
        folder = cache_folder("graphs") / f"old-{number}"
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    output(Bundle.open(bundle_path), OPTIONS)
    assert len(kept()) == MOST
    assert not (cache_folder("graphs") / "old-3").exists()


def test_a_bundle_that_was_not_verified_keeps_nothing(bundle_path: Path) -> None:
    with Networks(Bundle.open(bundle_path, verify=False), "onnxruntime"):
        assert not kept()
    with Networks(Bundle.open(bundle_path), "onnxruntime"):
        assert len(kept()) == 5
