"""A distilled model that goes on: graphs of one branch, verified, converted and run; known columns are its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mdsgen.bundle import CONDITIONING, DENOISER, Bundle
from mdsgen.errors import SettingsError
from mdsgen.export import ExportOptions, Models, convert_bundle, export_bundle
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.geometry import PAPER
from mdsgen.parity import snr_db
from mdsgen.runtime import Networks, Pipeline, Timings, WindowGenerator, seeded_noise
from mdsgen.runtime.known import Known
from mdsgen.sampling import Distilled, Sampling
from tests.export.conftest import SIZE, small_denoiser, small_models

SAMPLING = Sampling(2, 1.0, solver="unipc-2", clean_limit=4.0, distilled=Distilled(2.0, (2, 1)))


@pytest.fixture(scope="module")
def student() -> Models:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = small_denoiser(size=dataclasses.replace(SIZE, video="columns"))
    return dataclasses.replace(small_models(), denoiser=denoiser, sampling=SAMPLING, continues=True)


@pytest.fixture(scope="module")
def bundle(
    student: Models, bundles: dict[str, Bundle], frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    def traced(network: Network) -> onnx.ModelProto:
        """The networks that are not the denoiser's are those of the small model."""
        if network.name in (DENOISER, CONDITIONING):
            return trace(network)
        return onnx.load(bundles["fp32"].path(network.name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdsgen.export.exporter.trace", traced)
        return export_bundle(student, tmp_path_factory.mktemp("student") / "fp32", ExportOptions("fp32"), frames=frames)


def test_its_graphs_have_one_branch_and_its_manifest_says_why(bundle: Bundle) -> None:
    manifest = bundle.manifest
    rows = SIZE.modulations + PAPER.time_columns
    (conditioned,) = manifest.graphs[CONDITIONING].outputs
    assert conditioned.shape[1:] == (1, rows, SIZE.width)
    shapes = {s.name: s.shape for s in (*manifest.graphs[DENOISER].inputs, *manifest.graphs[DENOISER].outputs)}
    assert shapes["modulations"] == (1, rows, SIZE.width)
    assert shapes["noise"] == (1, *PAPER.latent_shape)
    assert (manifest.sampling, manifest.continues) == (SAMPLING, True)


def test_it_runs_as_it_is_sampled_and_refuses_guidance(bundle: Bundle) -> None:
    pictures = np.zeros((9, 48, 48, 3), np.uint8)
    with Pipeline.open(bundle.folder, "onnxruntime") as pipeline:
        usual = pipeline(pictures).audio
        np.testing.assert_array_equal(pipeline(pictures, guidance=2.0).audio, usual)
        assert not np.array_equal(pipeline(pictures, quality="fast").audio, usual)
        with pytest.raises(SettingsError, match="distilled at guidance 2"):
            pipeline(pictures, guidance=3.0)
        with pytest.raises(SettingsError, match="guidance must be 1, not 5"):
            pipeline(pictures, sampling=Sampling(2))


def test_known_columns_are_given_clean_and_marked(bundle: Bundle, student: Models, frames: np.ndarray) -> None:
    """A denoiser in PyTorch that is told of them as in training gives the same latent."""
    known = Known(seeded_noise(PAPER, 8), 20, PAPER)
    plan_of_one = dataclasses.replace(SAMPLING, steps=1)
    with Networks(bundle, "onnxruntime") as networks:
        generator = WindowGenerator(networks, plan_of_one)
        features = networks.encode(frames)
        _, latent = generator.go_on(frames, seeded_noise(PAPER, 3), known, Timings())
        (step,) = generator._plan
    start = seeded_noise(PAPER, 3)
    start[known.part] = known.latent[known.part]
    with torch.no_grad():
        at = torch.tensor([step.timestep])
        noise = student.denoiser(torch.from_numpy(start), at, torch.from_numpy(features), known=torch.tensor([20]))
    clean = step.coefficients.clean_latent * start + step.coefficients.clean_noise * noise[:, : PAPER.channels].numpy()
    expected = clean.clip(-4.0, 4.0)
    expected[known.part] = known.latent[known.part]
    assert snr_db(expected, latent) > 40


@pytest.mark.parametrize("precision", ["fp16-weights"])
def test_it_stays_what_it_is_in_another_precision(
    bundle: Bundle, precision: str, frames: np.ndarray, tmp_path: Path
) -> None:
    converted = convert_bundle(bundle, tmp_path / precision, ExportOptions(precision), frames=frames)
    assert (converted.manifest.sampling, converted.manifest.continues) == (SAMPLING, True)
    with Networks(converted, "onnxruntime") as networks:
        assert networks.branches == 1


def test_another_guidance_cannot_be_kept_in_its_bundle(student: Models, frames: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="distilled at guidance 2"):
        export_bundle(student, tmp_path / "guided", ExportOptions("fp32"), frames=frames, sampling=Sampling(2, 3.0))
    assert not list(tmp_path.iterdir())
