"""The autoencoder learns to bring a spectrogram back, and what its latents' mean and deviation are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.training.autoencoding import AutoencoderStage
from mdsgen.training.shards import Shards
from tests.training.datasets import TINY
from tests.training.small_stages import losses_of, small_stage, trainer


def stage() -> AutoencoderStage:
    made = small_stage("autoencoder")
    assert isinstance(made, AutoencoderStage)
    return made


def test_its_loss_falls(clips: Shards, tmp_path: Path) -> None:
    losses = losses_of(trainer("autoencoder", clips, tmp_path, steps=35, ema=0.0))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_crops_are_parts_of_their_clips_at_whole_latent_positions(clips: Shards) -> None:
    whole = clips.batch("log_mel", range(len(clips))).astype(np.float32)  # type: ignore[arg-type]
    batch = stage().draw(clips, 4, np.random.default_rng(0))
    assert batch["noise"].shape == (4, TINY.channels, TINY.latent_bins, 64 // TINY.compression)
    starts = range(0, TINY.mel_frames - 64 + 1, TINY.compression)
    for crop in batch["log_mel"].numpy():
        assert any(np.array_equal(crop, clip[start : start + 64]) for clip in whole for start in starts)


def test_its_finished_latents_have_zero_mean_and_unit_variance(clips: Shards, tmp_path: Path) -> None:
    training = trainer("autoencoder", clips, tmp_path)
    training.fit()
    network = training.finish()
    image = torch.from_numpy(clips.batch("log_mel", range(len(clips)))).float().transpose(1, 2).unsqueeze(1)  # type: ignore[arg-type]
    with torch.no_grad():
        latent = network.encode(image)  # type: ignore[operator]
        raw = network.posterior(image)[0]  # type: ignore[operator]
        assert torch.allclose(network.decode(latent), network.reconstruct(raw), atol=1e-5)  # type: ignore[operator]
    assert latent.shape == (len(clips), *TINY.latent_shape)
    assert torch.allclose(latent.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latent.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3)


def test_a_perfect_reconstruction_costs_only_the_divergence(clips: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage()
    batch = made.draw(clips, 2, np.random.default_rng(0))
    image = batch["log_mel"].transpose(1, 2).unsqueeze(1)
    monkeypatch.setattr(made.autoencoder, "reconstruct", lambda latent: image)
    with torch.no_grad():
        losses = made(**batch)
    assert float(losses["decibels"]) == 0
    assert float(losses["loss"]) == pytest.approx(made.config.divergence_weight * float(losses["divergence"]))
