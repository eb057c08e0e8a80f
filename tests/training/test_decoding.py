"""What the noisy vocoder learns from: spectrograms decoded from true and from generated latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import DatasetError, TrainingError
from mdsgen.training.clips import stacked
from mdsgen.training.decoding import decoded
from mdsgen.training.encoding import encoded
from mdsgen.training.recipe import Decoding, Recipe, load_recipe
from mdsgen.training.shards import Shards, derive, describe, write_shard
from mdsgen.training.trained import load_autoencoder, save_trained

DECODING, CPU = Decoding(clips=2, steps=1), torch.device("cpu")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks of the toy recipe, and three clips with their features and latents."""
    folder, recipe = tmp_path_factory.mktemp("work"), load_recipe("toy")
    for stage in ("video_encoder", "autoencoder", "denoiser"):
        keep(folder, recipe, stage)
    rng, geometry = np.random.default_rng(0), recipe.geometry
    clips = [
        {
            "frames": rng.integers(0, 255, (geometry.video_frames, 56, 56, 3), dtype=np.uint8),
            "sound": rng.integers(-9, 9, geometry.samples).astype(np.int16),
            "log_mel": rng.random((geometry.mel_frames, geometry.mel.bins)).astype(np.float16),
        }
        for _ in range(3)
    ]
    describe(folder / "clips", {"geometry": geometry.to_dict()})
    write_shard(folder / "clips", 0, stacked(clips))
    derive(encoded(Shards(folder / "clips"), folder, CPU), folder / "latents")
    return folder


def keep(folder: Path, recipe: Recipe, stage: str) -> None:
    torch.manual_seed(0)
    (folder / stage).mkdir()
    save_trained(folder / stage, stage, recipe.section(stage).build(recipe.geometry).network, recipe, steps=1)


def decode(work: Path, target: Path, decoding: Decoding = DECODING) -> Shards:
    clips, latents = Shards(work / "clips"), Shards(work / "latents")
    derive(decoded(clips, latents, work, decoding, CPU), target, shard_clips=1)
    return Shards(target)


def test_the_first_clips_get_both_spectrograms_beside_their_own(work: Path, tmp_path: Path) -> None:
    clips, made = Shards(work / "clips"), decode(work, tmp_path)
    assert len(made) == 2
    assert set(made.fields) == {"sound", "log_mel", "reconstructed", "generated"}
    for name in ("sound", "log_mel"):
        np.testing.assert_array_equal(made.batch(name, [0, 1]), clips.batch(name, [0, 1]))
    autoencoder = load_autoencoder(work / "autoencoder")
    image = torch.from_numpy(clips.batch("log_mel", [0, 1])).float().mT[:, None]
    back = autoencoder.decode(autoencoder.encode(image))[:, 0].mT.numpy()
    np.testing.assert_allclose(made.batch("reconstructed", [0, 1]), back, atol=2e-3)
    assert np.isfinite(made.batch("generated", [0, 1])).all()
    assert not np.array_equal(made.clip("generated", 0), made.clip("generated", 1))


def test_shards_that_are_there_are_kept_and_other_settings_refused(work: Path, tmp_path: Path) -> None:
    decode(work, tmp_path)
    there = tmp_path / "00000" / "generated.npy"
    written = there.stat().st_mtime_ns
    decode(work, tmp_path)
    assert there.stat().st_mtime_ns == written
    with pytest.raises(DatasetError, match="made from something else"):
        decode(work, tmp_path, Decoding(clips=2, steps=2))


def test_latents_of_other_clips_are_refused(work: Path, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer"
    describe(fewer, {})
    write_shard(fewer, 0, {name: Shards(work / "clips").batch(name, [0]) for name in ("sound", "log_mel")})
    with pytest.raises(DatasetError, match="encode them anew"):
        decoded(Shards(fewer), Shards(work / "latents"), work, DECODING, CPU)


@pytest.mark.parametrize(
    "wrong",
    [{"clips": 0}, {"clips": 1, "steps": 0}, {"clips": 1, "guidance": float("nan")}, {"clips": 1, "clean_limit": 0.0}],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match="must be"):
        Decoding(**wrong)  # type: ignore[arg-type]


def test_a_recipe_without_the_section_says_so() -> None:
    with pytest.raises(TrainingError, match=r"has no section \[decoding\]"):
        _ = Recipe("my.toml", load_recipe("toy").geometry, None, {}).decoded
