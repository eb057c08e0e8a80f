"""A bundle in another precision, made of the bundle alone and verified against it."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mdsgen.bundle import DENOISER, GRAPHS, VOCODER, Bundle
from mdsgen.errors import ExportError
from mdsgen.export import convert_bundle
from mdsgen.export.parity import CLIP, THRESHOLDS
from mdsgen.export.precision import restore_full
from tests.export.conftest import SAMPLER
from tests.export.test_exporter import contents, spoil


@pytest.fixture(scope="session")
def stored_half(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model with its weights in FP16, as the demo model is packaged."""
    return convert_bundle(
        bundles["fp32"], tmp_path_factory.mktemp("converted") / "b", precision="fp16-weights", frames=frames
    )


def weights(bundle: Bundle, graph: str) -> dict[str, np.ndarray]:
    """What every initialiser holds, and every cast of one, by the name that the arithmetic knows."""
    model = onnx.load(bundle.path(graph)).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    casts = {node.input[0]: node.output[0] for node in model.node if node.op_type == "Cast"}
    return {casts.get(name, name): values for name, values in arrays.items()}


@pytest.mark.parametrize("graph", GRAPHS)
def test_large_weights_are_stored_in_half_of_the_bytes(
    bundles: dict[str, Bundle], stored_half: Bundle, graph: str
) -> None:
    before, after = weights(bundles["fp32"], graph), weights(stored_half, graph)
    assert before.keys() == after.keys()
    large = [name for name, values in before.items() if values.dtype == np.float32 and values.size >= 256]
    assert large
    for name, values in before.items():
        expected = values.astype(np.float16) if name in large else values
        np.testing.assert_array_equal(after[name], expected)
        assert after[name].dtype == expected.dtype


def test_back_in_fp32_nothing_changes_any_more(stored_half: Bundle, frames: np.ndarray, tmp_path: Path) -> None:
    full = convert_bundle(stored_half, tmp_path / "b", precision="fp32", frames=frames)
    assert [figure.decibels for figure in full.manifest.quality] == [math.inf] * 6
    for graph in GRAPHS:
        model = onnx.load(full.path(graph)).graph
        assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.initializer}
        for name, values in weights(full, graph).items():
            np.testing.assert_array_equal(values, weights(stored_half, graph)[name])


def test_to_fp16_it_is_what_pytorch_exports(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path) -> None:
    half = convert_bundle(bundles["fp32"], tmp_path / "b", precision="fp16", frames=frames)
    assert half.manifest.graphs == bundles["fp16"].manifest.graphs, "the same files, byte for byte"


def test_every_figure_is_measured_against_the_source(stored_half: Bundle) -> None:
    quality = stored_half.manifest.quality
    assert {figure.graph: figure.threshold for figure in quality} == THRESHOLDS["fp16-weights"]
    assert [figure.graph for figure in quality] == [*GRAPHS, CLIP]
    assert all(figure.threshold <= figure.decibels < 100 for figure in quality)


def test_it_stays_the_same_model_and_says_where_it_came_from(bundles: dict[str, Bundle], stored_half: Bundle) -> None:
    before, after = bundles["fp32"], Bundle.open(stored_half.folder)
    for fact in ("geometry", "sampler", "model", "licence"):
        assert getattr(after.manifest, fact) == getattr(before.manifest, fact)
    digest = hashlib.sha256((before.folder / "manifest.json").read_bytes()).hexdigest()
    origin = {"converted_from": {"precision": "fp32", "manifest_sha256": digest}}
    assert after.manifest.provenance == before.manifest.provenance | origin
    assert (after.manifest.precision, after.manifest.sampler) == ("fp16-weights", SAMPLER)


def test_a_graph_that_came_out_wrong_keeps_nothing(
    stored_half: Bundle, frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: onnx.ModelProto) -> onnx.ModelProto:
        full = restore_full(model)
        if DENOISER in [fact.value for fact in full.metadata_props]:
            spoil(full)
        return full

    monkeypatch.setattr("mdsgen.export.convert.restore_full", wrong)
    lines: list[str] = []
    with pytest.raises(ExportError, match="not exported, too far from the source bundle in fp32: denoiser "):
        convert_bundle(stored_half, tmp_path / "b", precision="fp32", frames=frames, report=lines.append)
    assert lines[5] == "verifying against the source bundle over 3 steps"
    assert lines[-2].startswith(VOCODER)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["fp32", "fp16-weights", "fp16"])
def test_what_computes_in_fp16_is_not_made_into_anything_else(
    bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path, precision: str
) -> None:
    with pytest.raises(ExportError, match=r"is in fp16, whose .* rounded for good: expected .* fp32 or fp16-weights"):
        convert_bundle(bundles["fp16"], tmp_path / "b", precision=precision, frames=frames)
    assert not list(tmp_path.iterdir())


def test_the_source_may_be_replaced_by_its_conversion(stored_half: Bundle, frames: np.ndarray, tmp_path: Path) -> None:
    place = tmp_path / "b"
    full = convert_bundle(stored_half, place, precision="fp32", frames=frames)
    before = contents(place)
    half = convert_bundle(full, place, precision="fp16-weights", frames=frames, replace=True)
    assert half.manifest.precision == "fp16-weights"
    assert half.manifest.graphs == stored_half.manifest.graphs
    assert contents(place).keys() == before.keys()


ALONE = """
import sys

sys.modules.update(dict.fromkeys(["torch", "onnxslim", "diffusers", "transformers"]))
from pathlib import Path
from mdsgen.bundle import Bundle
from mdsgen.export import convert_bundle, verification_frames

bundle, folder = Bundle.open(sys.argv[1]), Path(sys.argv[2])
frames = verification_frames(bundle.manifest.geometry)
for precision in ("fp16-weights", "fp16"):
    bundle = convert_bundle(bundle, folder / precision, precision=precision, frames=frames)
    print(precision)
"""


def test_it_needs_no_pytorch(bundle_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, str(bundle_path), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "fp16-weights\nfp16\n"), result.stderr
