"""A bundle in another precision, made of the bundle alone and verified against it."""

from __future__ import annotations

import copy
import hashlib
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from mdsgen import Pipeline
from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, VIDEO_ENCODER, VOCODER, Bundle
from mdsgen.errors import ExportError
from mdsgen.export import CalibrationOptions, ExportOptions, convert_bundle
from mdsgen.export.graphs import DenoiserStep
from mdsgen.export.onnx_graph import Network, save, trace
from mdsgen.export.precision import in_precision, restore_full
from mdsgen.geometry import PAPER
from mdsgen.model.denoiser import Denoiser, DenoiserConfig
from mdsgen.parity import snr_db
from mdsgen.precision import CLIP, SPECTROGRAM
from tests.export.conftest import SAMPLING, least, still_clips
from tests.export.test_exporter import contents, spoil
from tests.media.conftest import Renderer


@pytest.fixture(scope="session")
def stored_half(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model with its weights in FP16, as the demo model is packaged."""
    return convert_bundle(
        bundles["fp32"], tmp_path_factory.mktemp("converted") / "b", ExportOptions("fp16-weights"), frames=frames
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
    full = convert_bundle(stored_half, tmp_path / "b", ExportOptions("fp32"), frames=frames)
    assert [figure.snr_db for figure in full.manifest.parity] == [math.inf] * 7
    for graph in GRAPHS:
        model = onnx.load(full.path(graph)).graph
        assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.initializer}
        for name, values in weights(full, graph).items():
            np.testing.assert_array_equal(values, weights(stored_half, graph)[name])


def test_to_fp16_it_is_what_pytorch_exports(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path) -> None:
    half = convert_bundle(bundles["fp32"], tmp_path / "b", ExportOptions("fp16"), frames=frames)
    assert half.manifest.graphs == bundles["fp16"].manifest.graphs, "the same files, byte for byte"


def test_every_figure_is_measured_against_the_source(stored_half: Bundle) -> None:
    quality = stored_half.manifest.parity
    assert {figure.graph: figure.threshold for figure in quality} == least("fp16-weights")
    assert [figure.graph for figure in quality] == [*GRAPHS, SPECTROGRAM, CLIP]
    assert all(figure.threshold <= figure.snr_db < 100 for figure in quality)


def test_it_stays_the_same_model_and_says_where_it_came_from(bundles: dict[str, Bundle], stored_half: Bundle) -> None:
    before, after = bundles["fp32"], Bundle.open(stored_half.folder)
    for fact in ("geometry", "sampling", "schedule", "model", "licence"):
        assert getattr(after.manifest, fact) == getattr(before.manifest, fact)
    digest = hashlib.sha256((before.folder / "manifest.json").read_bytes()).hexdigest()
    origin = {"converted_from": {"precision": "fp32", "manifest_sha256": digest}}
    assert after.manifest.provenance == before.manifest.provenance | origin
    assert (after.manifest.precision, after.manifest.sampling) == ("fp16-weights", SAMPLING)


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
        convert_bundle(stored_half, tmp_path / "b", ExportOptions("fp32"), frames=frames, report=lines.append)
    assert "verifying against the source bundle over 3 steps" in lines
    assert lines[-3].startswith(VOCODER)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["fp32", "fp16-weights", "fp16"])
def test_what_computes_in_fp16_is_not_made_into_anything_else(
    bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path, precision: str
) -> None:
    with pytest.raises(ExportError, match=r"is in fp16, whose .* rounded for good: expected .* fp32 or fp16-weights"):
        convert_bundle(bundles["fp16"], tmp_path / "b", ExportOptions(precision), frames=frames)
    assert not list(tmp_path.iterdir())


def test_the_source_may_be_replaced_by_its_conversion(stored_half: Bundle, frames: np.ndarray, tmp_path: Path) -> None:
    place = tmp_path / "b"
    full = convert_bundle(stored_half, place, ExportOptions("fp32"), frames=frames)
    before = contents(place)
    half = convert_bundle(full, place, ExportOptions("fp16-weights", replace=True), frames=frames)
    assert half.manifest.precision == "fp16-weights"
    assert half.manifest.graphs == stored_half.manifest.graphs
    assert contents(place).keys() == before.keys()


# INT8


def stored(bundle: Bundle, graph: str) -> int:
    """Bytes of a graph's weights."""
    (size,) = (part.bytes for part in bundle.manifest.graphs[graph].files if part.file.endswith(".weights"))
    return size


def test_in_int8_the_denoiser_multiplies_integers_and_the_others_are_those_of_fp16_weights(
    bundles: dict[str, Bundle], stored_half: Bundle, quantised: Bundle
) -> None:
    for graph in GRAPHS:
        same = quantised.manifest.graphs[graph].files[-1] == stored_half.manifest.graphs[graph].files[-1]
        assert same == (graph != DENOISER), "weights are the same, to the bit"
    kinds = {node.op_type for node in onnx.load(quantised.path(DENOISER)).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert stored(quantised, DENOISER) < 0.85 * stored(stored_half, DENOISER), "of a width of 48, much is small"
    assert quantised.manifest.graphs[DENOISER].inputs == bundles["fp32"].manifest.graphs[DENOISER].inputs


def test_an_int8_bundle_says_how_it_was_made(bundles: dict[str, Bundle], quantised: Bundle) -> None:
    before, after = bundles["fp32"].manifest, Bundle.open(quantised.folder).manifest
    assert after.precision == "int8"
    assert after.provenance.keys() == {*before.provenance, "converted_from", "calibration"}
    listed = {"clips", "seed", "passes", "smoothing", "decibels", "kept", "layers"}
    assert after.provenance["calibration"].keys() == listed
    assert {figure.graph: figure.threshold for figure in after.parity} == least("int8")
    assert all(figure.passed for figure in after.parity)


@pytest.mark.parametrize(
    ("precision", "count", "message"),
    [
        ("int8", 3, "on 4 clips or more, not on 3 clips: add some"),
        ("fp16", 4, "fp16 is not calibrated: leave out the 4 clips, or choose int8"),
    ],
)
def test_clips_that_are_too_few_or_of_no_use_are_refused(
    frames: np.ndarray, precision: str, count: int, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        ExportOptions(precision, still_clips(frames, count))


def test_without_clips_it_is_calibrated_on_rendered_scenes_of_the_seed(
    bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path
) -> None:
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if "clip 2 of" in line:
            raise KeyboardInterrupt

    options = ExportOptions("int8", CalibrationOptions(seed=5))
    with pytest.raises(KeyboardInterrupt):
        convert_bundle(bundles["fp32"], tmp_path / "b", options, frames=frames, report=interrupt)
    calibrating = [line for line in lines if line.startswith("calibrating")]
    assert [line.partition(" (")[0] for line in calibrating] == [f"calibrating on clip {n + 1} of 8" for n in range(2)]
    assert not list(tmp_path.iterdir()), "an interrupted calibration leaves nothing behind"


@pytest.mark.parametrize("stop", ["calibrating on clip 3", "measuring INT8 in blocks.1", "verifying"])
def test_wherever_int8_is_interrupted_the_bundle_that_was_there_stays(
    bundles: dict[str, Bundle], stored_half: Bundle, frames: np.ndarray, tmp_path: Path, stop: str
) -> None:
    place = tmp_path / "b"
    shutil.copytree(stored_half.folder, place)
    before = contents(tmp_path)

    def interrupt(line: str) -> None:
        if line.startswith(stop):
            assert len(list(tmp_path.iterdir())) == 2, "it is at work, in a folder beside"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_bundle(
            bundles["fp32"],
            place,
            ExportOptions("int8", still_clips(frames), replace=True),
            frames=frames,
            report=interrupt,
        )
    assert contents(tmp_path) == before


@pytest.fixture(scope="session")
def stored_int8(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model with its large weights in INT8."""
    return convert_bundle(
        bundles["fp32"], tmp_path_factory.mktemp("converted") / "b", ExportOptions("int8-weights"), frames=frames
    )


def test_weights_in_int8_are_smaller_than_in_fp16(
    bundles: dict[str, Bundle], stored_half: Bundle, stored_int8: Bundle
) -> None:
    assert stored_int8.manifest.precision == "int8-weights"
    assert "calibration" not in stored_int8.manifest.provenance
    assert {figure.graph: figure.threshold for figure in stored_int8.manifest.parity} == least("int8-weights")
    for graph in GRAPHS:
        assert stored(stored_int8, graph) <= stored(stored_half, graph) < stored(bundles["fp32"], graph)
    smaller = [graph for graph in GRAPHS if stored(stored_int8, graph) < 0.9 * stored(stored_half, graph)]
    assert smaller == [VIDEO_ENCODER, CONDITIONING, DENOISER, VOCODER], "this latent decoder has small weights alone"


def test_of_a_size_that_is_used_they_are_less_than_a_third_of_fp32(tmp_path: Path) -> None:
    """The published width, of which hardly any weight is small."""
    torch.manual_seed(0)
    denoiser = Denoiser(PAPER, DenoiserConfig(width=192, depth=2, heads=3, decode_layers=1))
    inputs = {"latent": torch.zeros(1, *PAPER.latent_shape), "modulations": torch.randn(2, 14, 192)}
    model = trace(Network(DENOISER, DenoiserStep(denoiser), inputs, "noise", {"modulations": "branches"}))
    sizes = {}
    for precision in ("fp32", "int8-weights"):
        folder = tmp_path / precision
        folder.mkdir()
        graph = save(in_precision(copy.deepcopy(model), DENOISER, precision), DENOISER, folder)
        sizes[precision] = sum(part.bytes for part in graph.files)
    assert sizes["int8-weights"] < sizes["fp32"] / 3


@pytest.mark.parametrize("kind", ["quantised", "stored_int8"])
def test_a_video_gets_its_sound_from_int8_as_well(
    kind: str, request: pytest.FixtureRequest, bundles: dict[str, Bundle], film: Renderer
) -> None:
    video = film("clip.mp4", frames=8, rate=4)
    sounds = []
    for bundle in (bundles["fp32"], request.getfixturevalue(kind)):
        with Pipeline.open(bundle.folder, threads=1) as pipeline:
            sounds.append(pipeline(video, seed=1).audio)
    assert sounds[1].shape == sounds[0].shape
    assert 10 <= snr_db(sounds[0], sounds[1]) < 80


def test_int8_is_not_made_into_anything_else(
    quantised: Bundle, stored_int8: Bundle, frames: np.ndarray, tmp_path: Path
) -> None:
    for bundle in (quantised, stored_int8):
        with pytest.raises(ExportError, match=r"is in int8.*, whose .* rounded for good"):
            convert_bundle(bundle, tmp_path / "b", ExportOptions("fp32"), frames=frames)


ALONE = """
import sys

sys.modules.update(dict.fromkeys(["torch", "onnxslim", "diffusers", "transformers"]))
from pathlib import Path
from mdsgen.bundle import Bundle
from mdsgen.export import ExportOptions, convert_bundle, verification_frames

bundle, folder = Bundle.open(sys.argv[1]), Path(sys.argv[2])
frames = verification_frames(bundle.manifest.geometry)
for precision in ("fp16-weights", "int8-weights", "fp16"):
    made = convert_bundle(bundle, folder / precision, ExportOptions(precision), frames=frames)
    print(precision)
"""


def test_it_needs_no_pytorch(bundle_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, str(bundle_path), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "fp16-weights\nint8-weights\nfp16\n"), result.stderr
