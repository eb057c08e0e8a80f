"""The video encoder learns to find the sound of every picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.training.contrast import VideoEncoderConfig, VideoEncoderStage
from mdsgen.training.shards import Shards
from tests.training.datasets import TINY
from tests.training.small_stages import losses_of, small_stage, trainer


def stage(**config: float) -> VideoEncoderStage:
    torch.manual_seed(0)
    return VideoEncoderStage(TINY, VideoEncoderConfig(channels=8, width=16, **config))  # type: ignore[arg-type]


def test_its_loss_falls(clips: Shards, tmp_path: Path) -> None:
    losses = losses_of(trainer("video_encoder", clips, tmp_path, steps=30, batch=8, ema=0.0))
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_a_batch_is_decided_by_its_generator(clips: Shards) -> None:
    first, again, other = (stage().draw(clips, 4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["shifted"], other["shifted"])


def test_the_negatives_are_the_same_sound_too_late_or_too_early(clips: Shards) -> None:
    batch = stage(shift_least=0.2, shift_most=0.3).draw(clips, 8, np.random.default_rng(0))
    second = TINY.mel_frames / TINY.duration
    for log_mel, shifted in zip(batch["log_mel"], batch["shifted"], strict=True):
        shifts = [by for by in range(-30, 31) if torch.equal(log_mel.roll(by, dims=0), shifted)]
        assert len(shifts) == 1
        assert 0.2 * second - 1 <= abs(shifts[0]) <= 0.3 * second + 1


@torch.no_grad()
def test_vectors_that_agree_cost_nothing_and_those_of_other_moments_do() -> None:
    made = stage()
    made.log_temperature.data.fill_(4.0)
    directions = torch.eye(4 * 8, 512).reshape(4, 8, 512)  # every moment of every clip its own direction
    late = torch.eye(512)[100:132].reshape(4, 8, 512)
    right = made._contrast(directions, directions, late)
    assert float(right["loss"]) < 1e-3
    assert [float(right[name]) for name in ("right_clip", "right_frame", "right_shift")] == [1, 1, 1]
    wrong_time = made._contrast(directions, directions.roll(1, dims=1), late)
    assert float(wrong_time["loss"]) > 10
    assert (float(wrong_time["right_clip"]), float(wrong_time["right_frame"])) == (1, 0)
    deaf_to_shifts = made._contrast(directions, directions, directions)
    assert float(deaf_to_shifts["right_shift"]) == 0
    assert float(deaf_to_shifts["loss"]) == pytest.approx(0.5 * np.log(2), abs=0.01)


def test_features_are_one_unit_vector_per_picture(clips: Shards) -> None:
    made = small_stage("video_encoder").eval()
    frames = torch.from_numpy(clips.batch("frames", [0, 1])).permute(0, 1, 4, 2, 3) / 255.0
    features = made.network.features(frames)  # type: ignore[operator]
    assert features.shape == (2, TINY.video_frames, 512)
    assert torch.allclose(features.norm(dim=2), torch.ones(2, TINY.video_frames))
