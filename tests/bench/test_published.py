"""The published arithmetic gives what the project's own model gives, in whichever geometry."""

import pytest
import torch
from torch import nn

from mdsgen.bench.published import PublishedAttention, published, two_passes
from mdsgen.geometry import FEATURE_CHANNELS, PAPER, RELEASE, Geometry
from mdsgen.model.denoiser import Denoiser, DenoiserConfig

SIZE = DenoiserConfig(width=24, depth=2, heads=3, decode_layers=1, timestep_channels=32)


@pytest.fixture(scope="module", params=[PAPER, RELEASE], ids=lambda geometry: geometry.name)
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    torch.manual_seed(0)
    made = Denoiser(request.param, SIZE).eval().requires_grad_(False)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def inputs(geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    features = torch.randn(1, geometry.video_frames, FEATURE_CHANNELS)
    return torch.randn(1, *geometry.latent_shape), torch.tensor([479.5]), features


def test_attention_is_the_same_attention(denoiser: Denoiser) -> None:
    own = denoiser.blocks[0].attn
    x = torch.randn(2, denoiser.geometry.tokens, SIZE.width)
    torch.testing.assert_close(PublishedAttention(own)(x), own(x), rtol=1e-4, atol=1e-5)


def test_two_passes_are_both_branches_of_the_model(denoiser: Denoiser) -> None:
    latent, timestep, features = inputs(denoiser.geometry)
    channels = denoiser.geometry.channels
    expected = torch.cat([denoiser(latent, timestep, given)[:, :channels] for given in (features, None)])
    torch.testing.assert_close(two_passes(denoiser, latent, timestep, features), expected)
    noise = two_passes(published(denoiser), latent, timestep, features)
    torch.testing.assert_close(noise, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(noise[0], noise[1], atol=0.01)


def test_the_copy_shares_its_weights_and_leaves_the_model_as_it_is(denoiser: Denoiser) -> None:
    copied = published(denoiser)
    assert {id(parameter) for parameter in copied.parameters()} == {
        id(parameter) for parameter in denoiser.parameters()
    }
    assert not any(isinstance(block.attn, PublishedAttention) for block in denoiser.blocks)
