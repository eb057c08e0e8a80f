"""The judge is trained by the common loop, on pairs that are really right or wrong, and exported as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.engines import open_engine
from mdsgen.errors import DatasetError, TrainingError
from mdsgen.evaluation.judge import FIGURES, FRAMES, LOG_MEL
from mdsgen.export.judge import export_judge
from mdsgen.geometry import PAPER
from mdsgen.training.clips import prepare_scenes
from mdsgen.training.judging import JudgeStage, JudgingConfig, degrade
from mdsgen.training.loop import Trainer
from mdsgen.training.settings import Settings
from mdsgen.training.shards import Shards, write_shard
from mdsgen.training.stage import LOSS
from tests.geometries import BRISK

SMALL = JudgingConfig(width=16, joint=8, embedding=4, least_pictures=10, most_pictures=14)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("scenes")
    prepare_scenes(folder, PAPER, 20, 1_000_000, shard_clips=20)
    return Shards(folder)


@pytest.fixture
def stage() -> JudgeStage:
    torch.manual_seed(0)
    return JudgeStage(PAPER, SMALL)


def test_a_batch_is_cut_from_the_same_moment_of_pictures_and_sound(stage: JudgeStage, clips: Shards) -> None:
    batch = stage.draw(clips, 8, np.random.default_rng(1))
    count = batch["frames"].shape[1]
    assert SMALL.least_pictures <= count <= SMALL.most_pictures
    assert batch["log_mel"].shape == batch["shifted"].shape == (8, 16 * count, PAPER.mel.bins)
    assert batch["onsets"].shape == (8, 4 * count)
    moved = (batch["shifted"] != batch["log_mel"]).flatten(1).any(dim=1)
    assert torch.equal(moved, batch["weights"][:, 0] > 0)
    assert moved.any()
    assert not moved.all()


def test_the_same_step_draws_the_same_batch(stage: JudgeStage, clips: Shards) -> None:
    first, second = (stage.draw(clips, 4, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_untrained_judge_knows_nothing_and_learns(stage: JudgeStage, clips: Shards, tmp_path: Path) -> None:
    batch = stage.draw(clips, 8, np.random.default_rng(0))
    before = float(stage(**batch)["heard"].detach())
    settings = Settings(steps=8, batch=4, learning_rate=1e-2, warm_up=0, ema=0.5)
    trainer = Trainer(stage, settings, clips, tmp_path)
    trainer.fit()
    judge = trainer.finish()
    losses = stage(**batch)
    assert float(losses["heard"].detach()) < before
    assert torch.isfinite(losses[LOSS])
    assert judge.threshold != 0


def test_most_held_back_pairs_pass_after_calibration(stage: JudgeStage, clips: Shards) -> None:
    stage.eval()
    stage.finish(clips)
    frames = torch.from_numpy(np.stack([stage.seen(clips, index) for index in (18, 19)]))
    figures = stage.judge(frames, torch.from_numpy(clips.batch("log_mel", range(18, 20))).float())
    aligned, kinds, sounds, embedding = stage.judge.split(figures)
    assert (kinds.shape[1], sounds.shape[1], embedding.shape[1]) == (12, 20, 4)
    assert aligned.max() > 0
    np.testing.assert_allclose(embedding.detach().mean(dim=0), 0, atol=1e-4)


def test_the_judge_keeps_its_own_rate_of_pictures(clips: Shards, tmp_path: Path) -> None:
    brisk = JudgeStage(BRISK, SMALL)
    frames = np.arange(128, dtype=np.uint8)[None, :, None, None, None].repeat(56, 2).repeat(56, 3).repeat(3, 4)
    write_shard(tmp_path, 0, {"frames": frames})
    seen = brisk.seen(Shards(tmp_path), 0)
    assert seen.shape == (32, 56, 56, 3)
    assert seen[:4, 0, 0, 0].tolist() == [1, 5, 9, 13]  # at 0.125, 0.375, 0.625 and 0.875 s, 15.625 a second
    assert JudgeStage(PAPER, SMALL).seen(clips, 0).shape == (32, 56, 56, 3)
    with pytest.raises(TrainingError, match="the judge sees pictures of 56 pixels, not of 28"):
        JudgeStage(replace(BRISK, frame_size=28), SMALL)


@pytest.mark.parametrize("clip_count", [1, 3])
def test_the_exported_judge_says_the_same(stage: JudgeStage, clips: Shards, tmp_path: Path, clip_count: int) -> None:
    judge = stage.judge.eval()
    export_judge(judge, tmp_path / "judge.onnx")
    frames = np.stack([stage.seen(clips, index) for index in range(clip_count)])
    log_mel = clips.batch("log_mel", range(clip_count)).astype(np.float32)
    with torch.no_grad():
        expected = judge(torch.from_numpy(frames), torch.from_numpy(log_mel)).numpy()
    with open_engine(tmp_path / "judge.onnx") as engine:
        found = engine.run({FRAMES: frames, LOG_MEL: log_mel})[FIGURES]
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_degrading_keeps_the_sound_recognisable() -> None:
    sounds = torch.rand(6, 64, 128, generator=torch.Generator().manual_seed(0)).cumsum(dim=1) / 64
    degraded = degrade(sounds, torch.Generator().manual_seed(1))
    assert degraded.shape == sounds.shape
    assert 0 <= float(degraded.min()) <= float(degraded.max()) <= 1
    assert 0.005 < float((degraded - sounds).abs().mean()) < 0.15


def test_films_of_which_nothing_is_known_are_refused(stage: JudgeStage, tmp_path: Path) -> None:
    write_shard(tmp_path, 0, {"frames": np.zeros((2, 32, 56, 56, 3), np.uint8), "log_mel": np.zeros((2, 512, 128))})
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="not rendered from scenes"):
        stage.draw(Shards(tmp_path), 2, np.random.default_rng(0))


def test_sizes_that_do_not_fit_are_refused(stage: JudgeStage, clips: Shards) -> None:
    with pytest.raises(TrainingError, match="most_pictures 40"):
        JudgeStage(PAPER, JudgingConfig(most_pictures=40))
    with pytest.raises(TrainingError, match="even batch, not 3"):
        stage.draw(clips, 3, np.random.default_rng(0))
