"""The video encoder learns to find the sound of every column, and when something begins in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.evaluation.labels import LABELS
from mdsgen.training.contrast import VideoEncoderConfig, VideoEncoderStage, onset_loss
from mdsgen.training.shards import Shards
from tests.training.datasets import TINY
from tests.training.small_stages import losses_of, trainer

COLUMNS, EMBEDDING = TINY.time_columns, 496


def stage(**config: float) -> VideoEncoderStage:
    torch.manual_seed(0)
    sizes = {"channels": 8, "width": 16, "fast": 8, "crop": COLUMNS}
    return VideoEncoderStage(TINY, VideoEncoderConfig(**sizes | config))  # type: ignore[arg-type]


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


def test_pictures_sound_and_onsets_are_cut_alike(clips: Shards) -> None:
    batch = stage(crop=2).draw(clips, 8, np.random.default_rng(0))
    assert [len(batch[name][0]) for name in ("frames", "log_mel", "shifted", "onsets")] == [8, 32, 32, 32]
    whole = clips.batch("log_mel", range(len(clips))).astype(np.float32)
    onsets = clips.batch("onsets", range(len(clips)))
    for log_mel, found in zip(batch["log_mel"].numpy(), batch["onsets"].numpy(), strict=True):
        places = [
            (clip, start)
            for clip in range(len(clips))
            for start in range(0, TINY.mel_frames - 31, 16)
            if np.array_equal(whole[clip, start : start + 32], log_mel)
        ]
        assert any(np.array_equal(onsets[clip, start : start + 32], found) for clip, start in places)


def test_a_crop_longer_than_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match=f"crop must be 1 to {COLUMNS} columns, not 9"):
        stage(crop=9)


def test_what_a_clip_shows_is_cut_with_its_pictures(clips: Shards) -> None:
    batch = stage(crop=2).draw(clips, 8, np.random.default_rng(0))
    assert batch["labels"].shape == (8, len(LABELS))
    mels, strengths = clips.batch("log_mel", range(len(clips))), clips.batch("intensity", range(len(clips)))
    pitches = clips.batch("pitches", range(len(clips)))
    drawn = zip(*(batch[name] for name in ("log_mel", "labels", "intensity", "pitches")), strict=True)
    for log_mel, labels, intensity, pitched in drawn:
        clip = next(index for index, whole in enumerate(mels) if any(_within(log_mel.numpy(), whole)))
        start = _within(log_mel.numpy(), mels[clip]).index(True)
        np.testing.assert_array_equal(labels, clips.clip("labels", clip))
        np.testing.assert_array_equal(intensity, strengths[clip][start : start + 2])
        np.testing.assert_array_equal(pitched, pitches[clip][start : start + 2])


def _within(part: np.ndarray, whole: np.ndarray) -> list[bool]:
    """Whether it is the part of the whole that begins with each column."""
    return [np.array_equal(part, whole[at : at + len(part)]) for at in range(0, len(whole) - len(part) + 1, 16)]


def test_a_dataset_of_films_trains_the_contrast_alone(clips: Shards) -> None:
    batch = stage().draw(clips, 4, np.random.default_rng(0))
    assert {"onset", "what", "how_strongly", "how_high"} <= stage()(**batch).keys()
    for name in ("onsets", "labels", "intensity", "pitches"):
        del batch[name]
    contrast = stage()(**batch)
    assert not {"onset", "what", "how_strongly", "how_high"} & contrast.keys()


def test_what_a_dataset_does_not_know_is_left_out_alone(clips: Shards) -> None:
    batch = stage().draw(clips, 4, np.random.default_rng(0))
    everything = set(stage()(**batch))
    for name, loss in (("labels", "what"), ("intensity", "how_strongly"), ("pitches", "how_high")):
        less = {key: value for key, value in batch.items() if key != name}
        assert everything - set(stage()(**less)) == {loss}


@pytest.mark.parametrize("weight", ["onset_weight", "label_weight", "intensity_weight", "pitch_weight"])
def test_a_negative_weight_is_refused(weight: str) -> None:
    with pytest.raises(ValueError, match=f"{weight} must be 0 or more, not -1"):
        stage(**{weight: -1.0})


@pytest.mark.parametrize(
    ("weight", "loss"),
    [
        ("onset_weight", "onset"),
        ("label_weight", "what"),
        ("intensity_weight", "how_strongly"),
        ("pitch_weight", "how_high"),
    ],
)
def test_everything_that_is_known_counts_as_the_recipe_says(clips: Shards, weight: str, loss: str) -> None:
    batch = stage().draw(clips, 4, np.random.default_rng(0))
    without, with_it = stage(**{weight: 0.0})(**batch), stage(**{weight: 2.0})(**batch)
    more = (with_it["loss"] - without["loss"]).detach()
    assert float(more) == pytest.approx(2.0 * float(with_it[loss].detach()), rel=1e-3)


def test_a_cue_costs_least_at_the_onset_little_beside_it_and_much_elsewhere() -> None:
    onsets = torch.zeros(1, 64)
    onsets[0, 20] = 1.0

    def cost(at: int) -> float:
        cue = torch.full((1, 64), -6.0)
        cue[0, at] = 6.0
        return float(onset_loss(cue, onsets))

    assert cost(20) < cost(21) < cost(22) < cost(40)


@torch.no_grad()
def test_vectors_that_agree_cost_nothing_and_those_of_other_moments_do() -> None:
    made = stage()
    made.log_temperature.data.fill_(4.0)
    directions = torch.eye(4 * 8, EMBEDDING).reshape(4, 8, EMBEDDING)  # every moment of every clip its own direction
    late = torch.eye(EMBEDDING)[100:132].reshape(4, 8, EMBEDDING)
    right = made._contrast(directions, directions, late)
    assert float(right["loss"]) < 1e-3
    assert [float(right[name]) for name in ("right_clip", "right_column", "right_shift")] == [1, 1, 1]
    wrong_time = made._contrast(directions, directions.roll(1, dims=1), late)
    assert float(wrong_time["loss"]) > 10
    assert (float(wrong_time["right_clip"]), float(wrong_time["right_column"])) == (1, 0)
    deaf_to_shifts = made._contrast(directions, directions, directions)
    assert float(deaf_to_shifts["right_shift"]) == 0
    assert float(deaf_to_shifts["loss"]) == pytest.approx(0.5 * np.log(2), abs=0.01)
