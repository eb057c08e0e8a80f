"""The training loss: what it is made of, what each part trains, and where its randomness comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mdsgen.geometry import PAPER
from mdsgen.model.denoiser import Denoiser, DenoiserConfig
from mdsgen.model.masking import Mask
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.diffusion import Diffusion
from mdsgen.training.objective import Losses, Objective

BATCH = 4


class Recorder(nn.Module):
    """Answers like a denoiser, with an output that can be differentiated, and remembers what it was asked."""

    geometry = PAPER

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, object]] = []
        self.outputs: list[Tensor] = []

    def forward(
        self,
        latent: Tensor,
        timestep: Tensor,
        features: Tensor,
        mask: Mask | None,
        drop_condition: Tensor,
        known: Tensor | None = None,
    ) -> Tensor:
        call = {"latent": latent, "timestep": timestep, "mask": mask, "drop": drop_condition, "known": known}
        self.calls.append(call)
        output = torch.cat([0.5 * latent, 0.1 * latent], dim=1).requires_grad_()  # [B, 2C, H, W]
        self.outputs.append(output)
        return output


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(BATCH, *PAPER.latent_shape, generator=generator)
    return latent, torch.randn(BATCH, PAPER.video_frames, 512, generator=generator)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    """Tiny, and away from its initial state, in which all outputs are zero and most gradients as well."""
    denoiser = Denoiser(PAPER, DenoiserConfig(width=16, depth=3, heads=2, decode_layers=1))
    generator = torch.Generator().manual_seed(6)
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return denoiser


def losses(denoiser: nn.Module, batch: tuple[Tensor, Tensor], seed: int = 0, **choices: float | None) -> Losses:
    objective, (latent, features) = Objective(**choices), batch
    draw = objective.draw(PAPER, len(latent), torch.Generator().manual_seed(seed))
    return objective.losses(denoiser, latent, features, draw)


def test_total_is_the_weighted_sum_of_its_parts(batch: tuple[Tensor, Tensor]) -> None:
    found = losses(Recorder(), batch, variational_weight=3.0)
    expected = found.error + found.masked_error + 3.0 * (found.variational + found.masked_variational)
    torch.testing.assert_close(found.total, expected)
    assert all(part.shape == () and torch.isfinite(part) for part in found)


def test_noise_loss_is_the_mean_squared_error_of_the_noise(batch: tuple[Tensor, Tensor]) -> None:
    recorder = Recorder()
    found = losses(recorder, batch, min_snr_gamma=None)
    latent, timestep = batch[0], recorder.calls[0]["timestep"].long()
    alpha_bar = torch.tensor([(1 - torch.linspace(1e-4, 2e-2, 1000).double())[: t + 1].prod() for t in timestep])
    alpha_bar = alpha_bar.float()[:, None, None, None]
    noise = (recorder.calls[0]["latent"] - alpha_bar.sqrt() * latent) / (1 - alpha_bar).sqrt()
    expected = (recorder.outputs[0][:, : PAPER.channels] - noise).square().mean()
    torch.testing.assert_close(found.error, expected, rtol=1e-4, atol=1e-6)


def test_bound_trains_the_variance_and_never_the_noise_estimate(batch: tuple[Tensor, Tensor]) -> None:
    recorder = Recorder()
    found = losses(recorder, batch)
    for bound, output in zip((found.variational, found.masked_variational), recorder.outputs, strict=True):
        (gradient,) = torch.autograd.grad(bound, output)
        estimate, variance = gradient.chunk(2, dim=1)
        assert torch.count_nonzero(estimate) == 0
        assert torch.count_nonzero(variance) == variance.numel()


def test_squared_error_trains_the_noise_estimate_and_never_the_variance(batch: tuple[Tensor, Tensor]) -> None:
    recorder = Recorder()
    (gradient,) = torch.autograd.grad(losses(recorder, batch).error, recorder.outputs[0])
    estimate, variance = gradient.chunk(2, dim=1)
    assert torch.count_nonzero(estimate) == estimate.numel()
    assert torch.count_nonzero(variance) == 0


def test_passes_differ_in_the_mask_alone(batch: tuple[Tensor, Tensor]) -> None:
    recorder = Recorder()
    losses(recorder, batch, mask_ratio=0.5)
    plain, masked = recorder.calls
    assert all(torch.equal(plain[name], masked[name]) for name in ("latent", "timestep", "drop"))
    assert plain["mask"] is None
    assert masked["mask"].dropped.sum(dim=1).tolist() == [PAPER.tokens // 2] * BATCH


def test_same_seed_same_loss(denoiser: Denoiser, batch: tuple[Tensor, Tensor]) -> None:
    first, again, other = (losses(denoiser, batch, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert first.total != other.total


def test_global_random_state_plays_no_part(denoiser: Denoiser, batch: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    losses(denoiser, batch)
    assert torch.equal(before, torch.get_rng_state())


def test_conditions_are_dropped_at_the_chosen_rate() -> None:
    recorder, batch = Recorder(), (torch.zeros(1000, *PAPER.latent_shape), torch.zeros(1000, 1, 1))
    losses(recorder, batch, condition_dropout=0.1)
    dropped = recorder.calls[0]["drop"].float().mean().item()
    assert dropped == pytest.approx(0.1, abs=0.03)  # three standard deviations


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 0), (1.0, BATCH)])
def test_dropout_can_be_never_and_always(batch: tuple[Tensor, Tensor], rate: float, expected: int) -> None:
    recorder = Recorder()
    losses(recorder, batch, condition_dropout=rate)
    assert recorder.calls[0]["drop"].sum() == expected


def test_min_snr_weighs_down_nearly_clean_timesteps_only() -> None:
    timestep = torch.tensor([0, 100, 999])
    weight = Objective(min_snr_gamma=5.0).weight(timestep)
    snr = Objective().diffusion.signal_to_noise(timestep)
    torch.testing.assert_close(weight, torch.minimum(snr, torch.tensor(5.0)) / snr)
    assert weight[0] < 1e-3
    assert weight[2] == 1
    assert Objective(min_snr_gamma=None).weight(timestep).tolist() == [1, 1, 1]


def test_errors_of_velocity_count_alike() -> None:
    objective = Objective(min_snr_gamma=5.0, diffusion=Diffusion(NoiseSchedule(target="velocity")))
    assert objective.weight(torch.tensor([0, 100, 999])).tolist() == [1, 1, 1]


def test_timesteps_are_drawn_in_one_of_two_ways() -> None:
    with pytest.raises(ValueError, match="timesteps must be one of uniform, logit-normal, not 'cosine'"):
        Objective(timesteps="cosine")


def test_the_right_velocity_costs_nothing(batch: tuple[Tensor, Tensor]) -> None:
    objective = Objective(diffusion=Diffusion(NoiseSchedule(target="velocity")), timesteps="logit-normal")
    latent, features = batch
    draw = objective.draw(PAPER, len(latent), torch.Generator().manual_seed(0))
    right = objective.diffusion.goal(latent, draw.timestep, draw.noise)

    def oracle(noisy: Tensor, *_: object, **__: object) -> Tensor:
        return torch.cat([right, torch.zeros_like(right)], dim=1)

    found = objective.losses(oracle, latent, features, draw)  # type: ignore[arg-type]
    assert float(found.error) == float(found.masked_error) == 0.0
    wrong = replace(objective, diffusion=Diffusion()).losses(oracle, latent, features, draw)  # type: ignore[arg-type]
    assert float(wrong.error) > 0.1
    assert float(found.variational) < float(wrong.variational), "the bound is that of the noise which is meant"


def test_gradients_reach_every_parameter(denoiser: Denoiser, batch: tuple[Tensor, Tensor]) -> None:
    denoiser.zero_grad()
    losses(denoiser, batch).total.backward()
    idle = [name for name, p in denoiser.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


def test_the_masked_pass_trains_the_side_block(denoiser: Denoiser, batch: tuple[Tensor, Tensor]) -> None:
    found = losses(denoiser, batch)
    side = [p for name, p in denoiser.named_parameters() if name.startswith(("sideblocks", "mask_token"))]
    plain = torch.autograd.grad(found.error + found.variational, side, retain_graph=True, allow_unused=True)
    masked = torch.autograd.grad(found.masked_error + found.masked_variational, side)
    assert plain == (None,) * len(side)
    assert all(gradient.abs().max() > 0 for gradient in masked)


def test_a_few_steps_make_it_smaller(batch: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    fresh = Denoiser(PAPER, DenoiserConfig(width=16, depth=2, heads=2, decode_layers=1))
    optimiser = torch.optim.Adam(fresh.parameters(), lr=1e-2)
    seen = []
    for _ in range(15):
        found = losses(fresh, batch, seed=3)
        optimiser.zero_grad()
        found.total.backward()
        optimiser.step()
        seen.append(found.total.item())
    assert seen[-1] < 0.95 * seen[0]


@pytest.mark.parametrize(
    "choice",
    [
        {"mask_ratio": 1.0},
        {"mask_ratio": -0.1},
        {"condition_dropout": 1.1},
        {"variational_weight": -1.0},
        {"min_snr_gamma": 0.0},
        {"known_share": 1.5},
        {"known_noise": 1.0},
    ],
)
def test_impossible_choices_are_refused(choice: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not"):
        Objective(**choice)


# Clips that begin with what is known


def test_nothing_is_known_unless_it_is_asked_for(batch: tuple[Tensor, Tensor]) -> None:
    """And then chance decides the rest as it did before there was a choice."""
    plain, going_on = Recorder(), Recorder()
    losses(plain, batch)
    losses(going_on, batch, known_share=1.0)
    assert plain.calls[0]["known"] is None
    for name in ("timestep", "drop"):
        assert torch.equal(plain.calls[0][name], going_on.calls[0][name])
    assert torch.equal(plain.calls[1]["mask"].keep, going_on.calls[1]["mask"].keep)


def test_known_columns_are_given_nearly_clean_and_the_others_noisy(batch: tuple[Tensor, Tensor]) -> None:
    plain, going_on = Recorder(), Recorder()
    losses(plain, batch)
    losses(going_on, batch, known_share=1.0, known_noise=0.1)
    for clip, columns in enumerate(going_on.calls[0]["known"].tolist()):
        end = columns * PAPER.patch
        assert 1 <= columns < PAPER.time_columns
        error = going_on.calls[0]["latent"][clip, :, :, :end] - batch[0][clip, :, :, :end]
        assert 0 < error.std() < 0.12
        assert torch.equal(going_on.calls[0]["latent"][clip, :, :, end:], plain.calls[0]["latent"][clip, :, :, end:])


def test_known_columns_are_left_out_of_every_loss(batch: tuple[Tensor, Tensor]) -> None:
    recorder = Recorder()
    found = losses(recorder, batch, known_share=1.0)
    for part, output in ((found.error + found.variational, 0), (found.masked_error + found.masked_variational, 1)):
        (gradient,) = torch.autograd.grad(part, recorder.outputs[output])
        for clip, columns in enumerate(recorder.calls[0]["known"].tolist()):
            end = columns * PAPER.patch
            assert torch.count_nonzero(gradient[clip, :, :, :end]) == 0
            assert torch.count_nonzero(gradient[clip, :, :, end:]) == gradient[clip, :, :, end:].numel()


def test_so_many_clips_begin_with_any_number_of_known_columns() -> None:
    beginnings = Objective(known_share=0.5).draw(PAPER, 2000, torch.Generator().manual_seed(0)).beginnings
    assert (beginnings.columns > 0).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert set(beginnings.columns.tolist()) == set(range(PAPER.time_columns))
