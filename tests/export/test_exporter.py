"""An export is a verified bundle, or nothing at all."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import mdsgen.export.exporter
from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, VIDEO_ENCODER, VOCODER, Bundle
from mdsgen.errors import BundleError, ExportError
from mdsgen.export import ExportOptions, Models, export_bundle, verification_frames
from mdsgen.export.exporter import networks_of
from mdsgen.export.graphs import Conditioning
from mdsgen.export.onnx_graph import Network
from mdsgen.export.precision import MADE
from mdsgen.geometry import PAPER
from mdsgen.parity import snr_db
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM
from mdsgen.report import Interim
from mdsgen.runtime import Networks, Timings, WindowGenerator, sample, seeded_noise
from mdsgen.sampling import Sampling
from tests.export.conftest import SAMPLING, StandInEncoder, least, small_codec, small_denoiser, still_clips
from tests.geometries import BRISK

Export = Callable[..., Bundle]
ONE_STEP = Sampling(steps=1)


@pytest.fixture
def export(models: Models, frames: np.ndarray, tmp_path: Path, traced_before: None) -> Export:
    """Export the small model to ``tmp_path / "bundle"`` in FP32, in one step."""

    def call(load: Models | Callable[[], Models] = models, **settings: Any) -> Bundle:
        told = {name: settings.pop(name) for name in ("frames", "sampling", "report") if name in settings}
        options = ExportOptions(**({"precision": "fp32"} | settings))
        return export_bundle(load, tmp_path / "bundle", options, **({"frames": frames, "sampling": ONE_STEP} | told))

    return call


@pytest.fixture
def sabotaged(export: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """The same, but the denoiser's graph comes out with wrong weights: about 20 dB."""
    right: Callable[[Network], onnx.ModelProto] = vars(mdsgen.export.exporter)["trace"]

    def wrong(network: Network) -> onnx.ModelProto:
        model = right(network)
        if network.name == DENOISER:
            spoil(model)
        return model

    monkeypatch.setattr(mdsgen.export.exporter, "trace", wrong)
    return export


def spoil(model: onnx.ModelProto) -> None:
    """Enlarge the weights of the first convolution, the patch embedding, by a tenth."""
    name = next(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    weight.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(weight), name))


def columns(line: str) -> list[str]:
    """The cells of a line of the table of figures."""
    return re.split(r"\s{2,}", line)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is kept


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_graph_is_as_close_to_pytorch_as_promised(bundles: dict[str, Bundle], precision: str) -> None:
    quality = bundles[precision].manifest.parity
    assert [figure.graph for figure in quality] == [*GRAPHS, SPECTROGRAM, CLIP]
    for figure in quality:
        least = {"fp32": 80.0, "fp16": 35.0 if figure.graph == VOCODER else 45.0}[precision]
        if figure.graph in (SPECTROGRAM, CLIP):
            least = {"fp32": 60.0, "fp16": PRECISIONS["fp16"].thresholds.clip}[precision]
        assert figure.threshold == least
        assert figure.snr_db >= least


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_bundle_is_whole_and_describes_itself(bundles: dict[str, Bundle], models: Models, precision: str) -> None:
    manifest = Bundle.open(bundles[precision].folder, verify=True).manifest
    assert manifest == bundles[precision].manifest
    assert (manifest.precision, manifest.geometry, manifest.sampling) == (precision, PAPER, SAMPLING)
    assert manifest.model == models.describe()
    assert manifest.provenance == models.provenance
    stored = {part.file for part in manifest.files} | {"manifest.json"}
    assert {path.name for path in bundles[precision].folder.iterdir()} == stored


def test_a_whole_clip_of_the_bundle_is_pytorch_s_from_the_same_noise(
    bundles: dict[str, Bundle], models: Models, frames: np.ndarray
) -> None:
    """Another noise, more steps and other guidance than the export was verified with."""
    settings, noise = Sampling(steps=8, guidance=2.0, guidance_power=0.5), seeded_noise(PAPER, 7)
    with Networks(bundles["fp32"]) as networks:
        sound = WindowGenerator(networks, settings)(frames, noise, Timings())
    features = models.video_encoder(torch.from_numpy(frames)[None])

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, ...]:
        x, t = torch.from_numpy(latent), torch.tensor([timestep], dtype=torch.float32)
        return tuple(models.denoiser(x, t, branch)[:, : PAPER.channels].numpy() for branch in (features, None))

    latent = sample(network, noise, settings, models.schedule)  # type: ignore[arg-type]
    expected = models.codec(torch.from_numpy(latent))[0].numpy()
    assert expected.std() > 1e-3
    assert snr_db(expected, sound) >= 60


@pytest.mark.parametrize(("precision", "least"), [("fp32", 100), ("fp16", 45)])
def test_the_conditional_branch_may_be_computed_alone(
    bundles: dict[str, Bundle], frames: np.ndarray, precision: str, least: float
) -> None:
    denoiser = bundles[precision].manifest.graphs["denoiser"]
    assert [spec.shape[0] for spec in (*denoiser.inputs, *denoiser.outputs)] == [1, "branches", "branches"]
    assert all(isinstance(n, int) for spec in (*denoiser.inputs, *denoiser.outputs) for n in spec.shape[1:])
    noise = seeded_noise(PAPER, 3)
    with Networks(bundles[precision]) as networks:
        modulations = networks.condition(networks.encode(frames), np.array([700], np.float32))[0]
        both = networks.denoise(noise, modulations)[0].copy()
        assert snr_db(both, networks.denoise_conditional(noise, modulations)) >= least
        np.testing.assert_array_equal(networks.denoise(noise, modulations)[0], both)  # and both again


def test_progress_comes_line_by_line(export: Export) -> None:
    lines: list[str] = []
    export(report=lambda line: None if isinstance(line, Interim) else lines.append(line))
    assert lines[:5] == [f"exporting {name} in fp32" for name in GRAPHS]
    assert lines[5] == "verifying against PyTorch over 1 steps"
    assert [columns(line)[0] for line in lines[6:]] == ["graph", *GRAPHS, SPECTROGRAM, CLIP]
    assert not any("\n" in line for line in lines)


# What is refused


def test_wrong_weights_keep_nothing_and_show_all_figures(sabotaged: Export, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(ExportError) as caught:
        sabotaged(report=lines.append)
    message = str(caught.value)
    assert message.startswith("not exported, too far from PyTorch in fp32: denoiser ")
    assert all(f" {name} " in message for name in (*GRAPHS, SPECTROGRAM, CLIP))
    assert "dB of 80" in message
    assert "\n" not in message
    results = {columns(line)[0]: columns(line)[-1] for line in lines[-7:]}
    clip = {name: results[name] for name in (SPECTROGRAM, CLIP)}
    assert results == dict.fromkeys(GRAPHS, "ok") | {DENOISER: "FAILED"} | clip
    assert not list(tmp_path.iterdir())


def test_an_fp16_graph_that_overflows_is_refused_with_all_figures(
    export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = MADE["fp16"]

    def overflowing(model: onnx.ModelProto) -> onnx.ModelProto:
        half = made(model)
        is_denoiser = {value.name for value in half.graph.input} == {"latent", "modulations"}
        for weight in half.graph.initializer if is_denoiser else ():
            if weight.data_type == onnx.TensorProto.FLOAT16 and len(weight.dims) == 4:
                weight.CopyFrom(numpy_helper.from_array(np.full(weight.dims, 6e4, np.float16), weight.name))
        return half

    monkeypatch.setitem(MADE, "fp16", overflowing)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"denoiser unusable dB of 45.*; good enough are video_encoder \d"):
        export(precision="fp16")
    assert not list(tmp_path.iterdir())


def test_a_tolerance_accepts_less_and_the_manifest_says_so(sabotaged: Export) -> None:
    manifest = sabotaged(tolerance=70.0).manifest
    assert {f.graph: f.threshold for f in manifest.parity} == {
        figure: threshold - 70 for figure, threshold in least("fp32").items()
    }
    (figure,) = [figure for figure in manifest.parity if figure.graph == DENOISER]
    assert 10 <= figure.snr_db < 80


@pytest.fixture
def existing(bundles: dict[str, Bundle], tmp_path: Path) -> Path:
    """A bundle where the export would put its own."""
    return Path(shutil.copytree(bundles["fp32"].folder, tmp_path / "bundle"))


def test_an_existing_bundle_survives_a_failed_export(sabotaged: Export, existing: Path) -> None:
    before = contents(existing.parent)
    with pytest.raises(ExportError):
        sabotaged(replace=True)
    assert contents(existing.parent) == before


def test_an_interruption_leaves_nothing(export: Export, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if "verifying" in line:
            assert list(tmp_path.rglob("*.onnx"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(report=interrupt)
    assert not list(tmp_path.iterdir())


def test_replacing_must_be_asked_for(export: Export, models: Models, existing: Path) -> None:
    with pytest.raises(BundleError, match="exists: choose another place, or ask to replace it"):
        export(forbidden)
    other = dataclasses.replace(models, licence="another")
    assert export(lambda: other, replace=True).manifest.licence == "another"
    assert Bundle.open(existing).manifest.licence == "another"
    assert [path.name for path in existing.parent.iterdir()] == ["bundle"]


# What is found before any long work


def forbidden() -> Models:
    raise AssertionError("the models must not be loaded")


def taken(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("precious")


@pytest.mark.parametrize(
    ("occupy", "settings", "message"),
    [
        (taken, {}, "exists and is not a bundle"),
        (taken, {"replace": True}, "exists and is not a bundle"),
        (lambda path: path.write_text("x"), {}, "exists and is not a bundle"),
        (lambda path: None, {"precision": "int4"}, "precision 'int4' is unknown: expected one of fp32, fp16"),
        (lambda path: None, {"tolerance": -1.0}, "tolerance must be from 0 to 100 dB, not -1.0"),
        (lambda path: None, {"tolerance": math.nan}, "tolerance must be from 0 to 100 dB, not nan"),
        (lambda path: None, {"tolerance": 2000.0}, "tolerance must be from 0 to 100 dB"),
    ],
)
def test_is_refused_before_models_are_loaded(
    export: Export, tmp_path: Path, occupy: Callable[[Path], object], settings: dict[str, object], message: str
) -> None:
    occupy(tmp_path / "bundle")
    before = contents(tmp_path)
    with pytest.raises((ExportError, BundleError), match=message):
        export(forbidden, **settings)
    assert contents(tmp_path) == before


# INT8


def test_int8_is_made_by_way_of_fp32_beside_the_target(
    export: Export, frames: np.ndarray, quantised: Bundle, tmp_path: Path
) -> None:
    """The same as converting an FP32 bundle, but that nobody will find that one."""
    lines: list[str] = []
    how = {"precision": "int8", "sampling": SAMPLING, "calibration": still_clips(frames), "report": lines.append}
    bundle = export(**how)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert Bundle.open(bundle.folder).manifest.precision == "int8"
    kinds = {node.op_type for node in onnx.load(bundle.path(DENOISER)).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert bundle.manifest.graphs == quantised.manifest.graphs
    provenance = bundle.manifest.provenance
    assert provenance["calibration"] == quantised.manifest.provenance["calibration"]
    assert provenance["converted_from"] == {"precision": "fp32"}, "an intermediate has no checksum"
    assert [line for line in lines if line.startswith("verifying")] == [
        "verifying against PyTorch over 3 steps",
        "verifying against the source bundle over 3 steps",
    ]


@pytest.mark.parametrize(
    "stop", ["exporting denoiser in fp32", "calibrating on clip 2", "verifying against the source"]
)
def test_wherever_int8_is_interrupted_nothing_is_left(
    export: Export, frames: np.ndarray, tmp_path: Path, stop: str
) -> None:
    def interrupt(line: str) -> None:
        if line.startswith(stop):
            assert all(path.name.startswith(".") for path in tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(precision="int8", calibration=still_clips(frames), report=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_place_that_cannot_be_written_is_found_before_models_are_loaded(
    frames: np.ndarray, tmp_path: Path, precision: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match=r"cannot write .*file/bundle: "):
        export_bundle(forbidden, tmp_path / "file" / "bundle", ExportOptions(precision), frames=frames)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((PAPER.video_frames - 1, 3, 224, 224), np.float32),
        np.zeros((PAPER.video_frames, 224, 224, 3), np.float32),
        np.zeros((PAPER.video_frames, 3, 224, 224), np.uint8),
    ],
    ids=["short", "channels last", "bytes"],
)
def test_frames_that_do_not_fit_are_refused_before_the_first_trace(
    export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: np.ndarray
) -> None:
    monkeypatch.setattr("mdsgen.export.exporter.trace", forbidden)
    with pytest.raises(ExportError, match=r"expected verification frames float32 \(32, 3, 224, 224\), got "):
        export(frames=wrong)
    assert not list(tmp_path.iterdir())


def test_graphs_take_the_pictures_of_their_geometry() -> None:
    models = Models(small_denoiser(BRISK), StandInEncoder(), small_codec(BRISK))
    inputs = {network.name: network.inputs for network in islice(networks_of(models), 2)}
    assert inputs[VIDEO_ENCODER]["frames"].shape == (1, 128, 3, 56, 56)
    assert inputs[CONDITIONING]["features"].shape == (1, 32, 512)
    assert verification_frames(BRISK).shape == (128, 3, 56, 56)
    condition = Conditioning(models.denoiser)
    assert condition(torch.ones(1, 32, 512), torch.zeros(2)).shape[:2] == (2, 2)


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, mdsgen.export; print({'torch', 'onnx', 'numpy', 'onnxruntime'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "set()\n", "")


def test_the_package_gives_its_public_names() -> None:
    assert all(getattr(mdsgen.export, name) is not None for name in mdsgen.export.__all__)
    with pytest.raises(AttributeError, match="no attribute 'import_bundle'"):
        mdsgen.export.import_bundle  # noqa: B018
