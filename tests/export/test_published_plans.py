"""The plans' graphs of the published networks, in their sizes; of shorter clips, which makes no other graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
import pytest
import torch

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.export.graphs import BRANCHES, Conditioning, DenoiserStep
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.export.plan_graph import plan_graph
from mdsgen.export.precision import in_precision
from mdsgen.geometry import FEATURE_CHANNELS, PAPER, RELEASE, Geometry
from mdsgen.model.audio import AudioCodec, audioldm_autoencoder, hifigan, stable_diffusion_autoencoder
from mdsgen.model.codec import LatentDecoder, Vocoder
from mdsgen.model.denoiser import Denoiser, config
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.precision import PRECISIONS
from tests.export.test_plan_graph import IN_FP32, computes_in_fp32, operators
from tests.threads import one_thread

pytestmark = pytest.mark.slow

_LENGTH = 8  # along the time axis of a latent, and mel frames


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def video_encoder(geometry: Geometry) -> Network:
    return Network(VIDEO_ENCODER, VideoEncoder(), {"frames": torch.zeros(1, 2, 3, 224, 224)}, "y", {})


def conditioning(geometry: Geometry) -> Network:
    inputs = {"features": torch.zeros(1, geometry.video_frames, FEATURE_CHANNELS), "timesteps": torch.zeros(2)}
    return Network(CONDITIONING, Conditioning(Denoiser(geometry, config("tiny", geometry))), inputs, "y", {})


def denoiser(geometry: Geometry, size: str = "tiny") -> Network:
    model = Denoiser(geometry, config(size, geometry))
    modulations = torch.zeros(BRANCHES, model.vectors, model.config.width)
    inputs = {"latent": torch.zeros(1, *geometry.latent_shape), "modulations": modulations}
    return Network(DENOISER, DenoiserStep(model), inputs, "y", {})


def base_denoiser(geometry: Geometry) -> Network:
    return denoiser(geometry, "base")


def codec(geometry: Geometry) -> AudioCodec:
    """The published audio networks."""
    autoencoder = stable_diffusion_autoencoder() if geometry == PAPER else audioldm_autoencoder()
    return AudioCodec(geometry, autoencoder, hifigan(geometry))


def latent_decoder(geometry: Geometry) -> Network:
    _, channels, height, width = (1, *geometry.latent_shape)
    shape = (height, _LENGTH) if geometry.time_axis == 1 else (_LENGTH, width)
    inputs = {"latent": torch.zeros(1, channels, *shape)}
    return Network(LATENT_DECODER, LatentDecoder(codec(geometry)), inputs, "y", {})


def vocoder(geometry: Geometry) -> Network:
    inputs = {"log_mel": torch.zeros(1, _LENGTH, geometry.mel.bins)}
    return Network(VOCODER, Vocoder(codec(geometry)), inputs, "y", {})


EVERY = (video_encoder, conditioning, denoiser, latent_decoder, vocoder)
PUBLISHED = [*((make, PAPER) for make in (*EVERY, base_denoiser)), *((make, RELEASE) for make in EVERY[1:])]


@pytest.mark.parametrize(
    ("network", "geometry"), PUBLISHED, ids=lambda value: value.__name__ if callable(value) else value.name
)
def test_a_published_network_s_plan_has_fp32_where_it_must_and_nowhere_else(
    network: Callable[[Geometry], Network], geometry: Geometry
) -> None:
    exported = network(geometry)
    half = in_precision(trace(exported), exported.name, "fp16")
    groups = operators(half)["InstanceNormalization"]
    fold = exported.name != DENOISER or geometry == PAPER
    plan = plan_graph(half, PRECISIONS["fp16"], fold=fold)
    onnx.checker.check_model(plan, full_check=True)
    assert groups == {LATENT_DECODER: 30 if geometry == PAPER else 24}.get(exported.name, 0)
    assert operators(plan)["InstanceNormalization"] == 0
    assert set(computes_in_fp32(plan)) <= IN_FP32[exported.name]
    if exported.name == VOCODER:
        assert operators(plan)["Cast"] == 2, "of the input and the output"
