"""One small but whole model, exported once per precision for all tests that look at its graphs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mdsgen.bundle import DENOISER, GRAPHS, Bundle
from mdsgen.export import CalibrationOptions, ExportOptions, Models, convert_bundle, export_bundle, verification_frames
from mdsgen.export.activations import open_model
from mdsgen.export.calibration_clips import LEAST_CLIPS, CalibrationClip
from mdsgen.export.models import _randomise
from mdsgen.export.onnx_graph import Network
from mdsgen.geometry import FEATURE_CHANNELS, PAPER, RELEASE, Geometry
from mdsgen.model.audio import AudioCodec, audioldm_autoencoder, hifigan, stable_diffusion_autoencoder
from mdsgen.model.denoiser import Denoiser, DenoiserConfig
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM
from mdsgen.sampling import Sampling
from tests.threads import one_thread

SIZE = DenoiserConfig(width=48, depth=3, heads=3, decode_layers=2)
SAMPLING = Sampling(steps=3)


class StandInEncoder(nn.Module):
    """``[1, F, 3, 224, 224]`` -> ``[1, F, 512]``, of unit length like the real one's: two strided convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=4), nn.ReLU())
        self.project = nn.Linear(16, FEATURE_CHANNELS)

    def forward(self, frames: Tensor) -> Tensor:
        pictures = self.stages(frames.flatten(0, 1)).mean(dim=(2, 3))  # [F, 16]
        features = self.project(pictures).unflatten(0, (-1, frames.shape[1]))  # [1, F, 512]
        return nn.functional.normalize(features, dim=-1)


def small_codec(geometry: Geometry) -> AudioCodec:
    """The audio networks with a few channels, loud enough that their sound is no rounding error."""
    autoencoder = (
        audioldm_autoencoder((8, 8, 16)) if geometry == RELEASE else stable_diffusion_autoencoder((8, 8, 8, 16))
    )
    vocoder = hifigan(geometry, channels=32)
    for network in (autoencoder, vocoder):
        _randomise(network)
    return AudioCodec(geometry, autoencoder, vocoder)


def small_denoiser(geometry: Geometry = PAPER, size: DenoiserConfig = SIZE) -> Denoiser:
    """Every weight at work, biases too: none is zero, as most are at the start of training."""
    denoiser = Denoiser(geometry, size)
    _randomise(denoiser)
    for parameter in denoiser.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=parameter.detach().mean().round().item(), std=0.1)
    return denoiser.eval().requires_grad_(False)


def small_models(size: DenoiserConfig = SIZE) -> Models:
    """A whole model in the paper's geometry, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = StandInEncoder()
        _randomise(encoder)
        return Models(small_denoiser(size=size), encoder, small_codec(PAPER))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def models() -> Models:
    return small_models()


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    return verification_frames(PAPER)


@pytest.fixture(scope="session")
def bundles(models: Models, frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The model's bundle in every precision."""
    folder = tmp_path_factory.mktemp("bundles")

    def export(precision: str) -> Bundle:
        return export_bundle(models, folder / precision, ExportOptions(precision), frames=frames, sampling=SAMPLING)

    with one_thread(), pytest.MonkeyPatch.context() as patch:
        full = export("fp32")
        patch.setattr("mdsgen.export.exporter.trace", _traced_for(full))
        return {"fp32": full, "fp16": export("fp16")}


@pytest.fixture(scope="session")
def graphs(bundles: dict[str, Bundle]) -> dict[str, dict[str, onnx.ModelProto]]:
    """All graphs with their weights: ``graphs["fp16"]["denoiser"]``. To be read, not changed."""
    return {
        precision: {name: onnx.load(bundle.path(name)) for name in bundle.manifest.graphs}
        for precision, bundle in bundles.items()
    }


@pytest.fixture
def traced_before(bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports of the small model take the graphs that were traced for ``bundles``, to be quick."""
    monkeypatch.setattr("mdsgen.export.exporter.trace", _traced_for(bundles["fp32"]))


def _traced_for(bundle: Bundle) -> Callable[[Network], onnx.ModelProto]:
    return lambda network: onnx.load(bundle.path(network.name))


def still_clips(frames: np.ndarray, count: int = LEAST_CLIPS) -> CalibrationOptions:
    """Clips that cost nothing to render: the same pictures, each time darker."""
    clips = [CalibrationClip(f"clip {n}", lambda n=n: frames / (n + 1)) for n in range(count)]  # type: ignore[misc]
    return CalibrationOptions(clips)


@pytest.fixture(scope="session")
def quantised(bundles: dict[str, Bundle], frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model in INT8."""
    target = tmp_path_factory.mktemp("quantised") / "int8"
    options = ExportOptions("int8", calibration=still_clips(frames))
    with one_thread():
        return convert_bundle(bundles["fp32"], target, options, frames=frames)


@pytest.fixture
def denoiser(graphs: dict[str, dict[str, onnx.ModelProto]]) -> onnx.ModelProto:
    """The small model's denoiser in FP32, to be changed."""
    return copy.deepcopy(graphs["fp32"][DENOISER])


def least(precision: str) -> dict[str, float]:
    """The threshold of every figure."""
    return {figure: PRECISIONS[precision].thresholds.of(figure) for figure in (*GRAPHS, SPECTROGRAM, CLIP)}


def passes(count: int = 2, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Inputs of the denoiser."""
    random = np.random.default_rng(seed)
    shapes = {"latent": (1, *PAPER.latent_shape), "modulations": (2, SIZE.modulations, SIZE.width)}
    return [{k: random.standard_normal(v, np.float32) for k, v in shapes.items()} for _ in range(count)]


def run(model: onnx.ModelProto, feeds: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """What ONNX Runtime makes of each, stacked."""
    session = open_model(model)
    return np.stack([session.run(None, each)[0] for each in feeds])
