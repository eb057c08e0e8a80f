"""The denoiser learns to find the noise in latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.schedule import NoiseSchedule
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


def test_a_noise_schedule_that_a_recipe_names_is_trained_with() -> None:
    config = DenoiserStageConfig(size="small-test", beta_end=0.04, noise_steps=50)
    stage = DenoiserStage(TINY, config)
    assert stage.objective.diffusion.schedule == config.schedule == NoiseSchedule(beta_end=0.04, train_steps=50)
    assert {name: stage.describe()[name] for name in ("beta_start", "beta_end", "noise_steps")} == {
        "beta_start": 1e-4,
        "beta_end": 0.04,
        "noise_steps": 50,
    }


def test_a_training_from_before_there_was_a_choice_of_schedules_goes_on() -> None:
    """Its checkpoint's identity names no schedule."""
    assert not {"beta_start", "beta_end", "noise_steps"} & DenoiserStage(TINY, DenoiserStageConfig()).describe().keys()


def test_a_training_from_before_there_was_a_choice_of_targets_goes_on() -> None:
    assert not {"target", "timesteps"} & DenoiserStage(TINY, DenoiserStageConfig()).describe().keys()
    config = DenoiserStageConfig(size="small-test", target="velocity", timesteps="logit-normal")
    stage = DenoiserStage(TINY, config)
    assert (stage.describe()["target"], stage.describe()["timesteps"]) == ("velocity", "logit-normal")
    assert stage.objective.diffusion.schedule == NoiseSchedule(target="velocity")
    assert stage.objective.timesteps == "logit-normal"


GOING_ON = DenoiserStageConfig(size="small-test", video="columns", known_share=0.5, masked_share=0.5)


def test_a_training_from_before_known_columns_goes_on() -> None:
    """Its checkpoint's identity does not name them; that of a training with them does."""
    assert not {"known_share", "known_noise"} & DenoiserStage(TINY, DenoiserStageConfig()).describe().keys()
    assert DenoiserStage(TINY, GOING_ON).describe()["known_share"] == 0.5


def test_some_clips_begin_with_known_columns(latents: Shards) -> None:
    stage = DenoiserStage(TINY, GOING_ON)
    batch = stage.draw(latents, 40, np.random.default_rng(0))
    assert 8 <= int((batch["known"] > 0).sum()) <= 32
    assert all(torch.isfinite(loss) for loss in stage(**batch).values())


def test_known_columns_need_a_denoiser_that_can_be_told_of_them() -> None:
    with pytest.raises(ValueError, match="known_share needs video = 'columns'"):
        DenoiserStageConfig(known_share=0.5)


def test_a_schedule_that_cannot_be_trained_with_is_refused() -> None:
    with pytest.raises(ValueError, match="betas must rise between 0 and 1"):
        DenoiserStageConfig(beta_end=1.5)
