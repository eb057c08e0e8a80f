"""The denoiser learns to find the noise in latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mdsgen.training.denoising import DenoiserStage, DenoiserStageConfig
from mdsgen.training.shards import Shards
from tests.training.datasets import TINY
from tests.training.small_stages import losses_of, trainer


def test_its_loss_falls(latents: Shards, tmp_path: Path) -> None:
    losses = losses_of(trainer("denoiser", latents, tmp_path, steps=70, batch=8, ema=0.0))
    both = [loss for loss in losses if loss > 0]
    assert np.mean(both[-20:]) < 0.8 * np.mean(both[:10])


def test_a_batch_is_decided_by_its_generator(latents: Shards) -> None:
    stage = DenoiserStage(TINY, DenoiserStageConfig(size="small-test"))
    first, again, other = (stage.draw(latents, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])


def test_some_steps_are_masked_and_some_are_not(latents: Shards) -> None:
    stage = DenoiserStage(TINY, DenoiserStageConfig(size="small-test", masked_share=0.5))
    masked = ["keep" in stage.draw(latents, 2, np.random.default_rng(seed)) for seed in range(40)]
    assert 8 <= sum(masked) <= 32
