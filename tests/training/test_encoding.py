"""What the denoiser learns from is what the trained networks make of the clips, in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import CheckpointError, DatasetError
from mdsgen.report import Report, silent
from mdsgen.training.encoding import encoded
from mdsgen.training.recipe import parse_recipe
from mdsgen.training.shards import SHARD_CLIPS, Shards, derive, shard_path
from mdsgen.training.trained import load_autoencoder, load_video_encoder, save_trained
from tests.training.datasets import TINY

TRAINING = {"steps": 1, "batch": 1, "learning_rate": 1e-3}
RECIPE = parse_recipe(
    {
        "geometry": TINY.to_dict(),
        "video_encoder": {"channels": 8, "width": 16, "fast": 8, "crop": 8, "training": TRAINING},
        "autoencoder": {"width": 16, "crop": 64, "training": TRAINING},
    },
    "test",
)


def keep(folder: Path, name: str, seed: int = 0) -> Path:
    """Weights of an untrained network, as a training would leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = RECIPE.section(name).build(TINY).network
    if name == "autoencoder":
        network.standardise(torch.full((4,), 0.5), torch.full((4,), 2.0))  # type: ignore[operator]
    save_trained(folder, name, network, RECIPE, steps=1)
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("video_encoder", "autoencoder"):
        keep(tmp_path / name, name)
    return tmp_path


def encode(clips: Shards, work: Path, shard_clips: int = SHARD_CLIPS, report: Report = silent) -> Shards:
    derivation = encoded(clips, work, torch.device("cpu"))
    derive(derivation, work / "latents", shard_clips=shard_clips, report=report)
    return Shards(work / "latents")


def test_features_and_latents_are_those_of_the_networks(clips: Shards, work: Path) -> None:
    made = encode(clips, work, shard_clips=3)
    assert (made.fields, len(made)) == (("features", "latent"), len(clips))
    assert made.description["geometry"] == TINY.to_dict()
    with torch.no_grad():
        for index in range(len(clips)):
            frames = torch.from_numpy(clips.batch("frames", [index])).permute(0, 1, 4, 2, 3) / 255.0
            image = torch.from_numpy(clips.batch("log_mel", [index])).float().transpose(1, 2).unsqueeze(1)
            features = load_video_encoder(work / "video_encoder")(frames)[0].numpy()
            latent = load_autoencoder(work / "autoencoder").encode(image)[0].numpy()
            assert made.clip("features", index).dtype == made.clip("latent", index).dtype == np.float16
            np.testing.assert_allclose(made.clip("features", index), features, atol=1e-3)
            np.testing.assert_allclose(made.clip("latent", index), latent, atol=1e-3, rtol=1e-3)


def test_shards_that_are_there_are_kept(clips: Shards, work: Path) -> None:
    lines: list[str] = []
    encode(clips, work, shard_clips=3, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == [
        "1 of 3 shards encoded",
        "2 of 3 shards encoded",
        "3 of 3 shards encoded",
    ]
    before = Shards(work / "latents").batch("latent", range(8)).copy()  # type: ignore[arg-type]
    for file in shard_path(work / "latents", 1).iterdir():
        file.unlink()
    shard_path(work / "latents", 1).rmdir()
    lines.clear()
    encode(clips, work, shard_clips=3, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["2 of 3 shards encoded"]
    assert np.array_equal(Shards(work / "latents").batch("latent", range(8)), before)  # type: ignore[arg-type]


def test_latents_of_two_trainings_are_never_mixed(clips: Shards, work: Path) -> None:
    encode(clips, work)
    keep(work / "autoencoder", "autoencoder", seed=1)
    with pytest.raises(DatasetError, match="made from something else"):
        encode(clips, work)


def test_a_training_that_is_not_finished_is_named(clips: Shards, work: Path) -> None:
    (work / "video_encoder" / "weights.safetensors").unlink()
    with pytest.raises((CheckpointError, DatasetError), match=r"video_encoder/weights\.safetensors"):
        encode(clips, work)


def test_clips_without_pictures_are_refused(latents: Shards, work: Path) -> None:
    with pytest.raises(DatasetError, match="has no frames and no log_mel"):
        encode(latents, work)
