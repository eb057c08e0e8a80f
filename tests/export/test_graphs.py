"""The denoiser cut in two computes what the denoiser computes, and carries nothing that only training needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mdsgen.export.graphs import BRANCHES, Conditioning, DenoiserStep, TanhGelu, deployable
from mdsgen.geometry import FEATURE_CHANNELS, PAPER
from mdsgen.model.denoiser import Denoiser
from tests.export.conftest import SIZE, small_denoiser

TIMESTEP = st.floats(0.0, 999.0, width=32)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return small_denoiser()


@pytest.fixture(scope="module")
def features() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(1, PAPER.video_frames, FEATURE_CHANNELS)


@pytest.fixture(scope="module")
def latent() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(1, *PAPER.latent_shape)


def close(mine: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=15)
@given(timesteps=st.lists(TIMESTEP, min_size=1, max_size=6))
def test_every_step_has_the_modulations_of_its_timestep_alone(
    denoiser: Denoiser, features: Tensor, timesteps: list[float]
) -> None:
    conditioning = Conditioning(denoiser)
    together = conditioning(features, torch.tensor(timesteps))
    assert together.shape == (len(timesteps), BRANCHES, SIZE.modulations, SIZE.width)
    for step, timestep in enumerate(timesteps):
        close(together[step], conditioning(features, torch.tensor([timestep]))[0])


def test_the_first_branch_sees_the_video_and_the_second_does_not(denoiser: Denoiser, features: Tensor) -> None:
    timestep = torch.tensor([959.04])
    conditional, unconditional = Conditioning(denoiser)(features, timestep)[0]
    close(conditional, denoiser.modulations(denoiser.condition(timestep, features))[0])
    close(unconditional, denoiser.modulations(denoiser.condition(timestep, None))[0])
    assert not torch.allclose(conditional, unconditional, atol=0.1)


@pytest.mark.parametrize("timestep", [999.0, 479.52, 0.0])
def test_one_pass_is_both_passes_of_the_denoiser(
    denoiser: Denoiser, features: Tensor, latent: Tensor, timestep: float
) -> None:
    t = torch.tensor([timestep])
    noise = DenoiserStep(denoiser)(latent, Conditioning(denoiser)(features, t)[0])
    assert noise.shape == (BRANCHES, *PAPER.latent_shape)
    for branch, condition in enumerate((features, None)):
        close(noise[branch], denoiser(latent, t, condition)[0, : PAPER.channels])


def test_a_deployed_denoiser_shares_its_weights_and_leaves_the_original_whole(
    denoiser: Denoiser, features: Tensor, latent: Tensor
) -> None:
    before = denoiser(latent, torch.tensor([500.0]), features)
    names = set(denoiser.state_dict())
    copied = deployable(denoiser)
    originals, shared = dict(denoiser.named_parameters()), dict(copied.named_parameters())
    assert all(shared[name] is originals[name] for name in originals if ".mlp." in name and "sideblock" not in name)
    assert set(denoiser.state_dict()) == names
    assert torch.equal(denoiser(latent, torch.tensor([500.0]), features), before)


def test_a_deployed_denoiser_has_no_side_block_and_no_variance(denoiser: Denoiser) -> None:
    copied = deployable(denoiser)
    assert not [name for name in copied.state_dict() if name.startswith("sideblocks")]
    assert copied.final_layer.linear.out_features == denoiser.final_layer.linear.out_features // 2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 1e4])
def test_the_tanh_gelu_is_the_tanh_gelu(scale: float) -> None:
    x = torch.linspace(-scale, scale, 10_001)
    expected = nn.functional.gelu(x.double(), approximate="tanh")
    torch.testing.assert_close(TanhGelu()(x).double(), expected, rtol=1e-6, atol=1e-6)
