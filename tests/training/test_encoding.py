"""What the denoiser learns from is what the trained networks make of the clips, in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import CheckpointError, DatasetError
from mdsgen.training.encoding import encode_clips
from mdsgen.training.recipe import parse_recipe
from mdsgen.training.shards import Shards, shard_path
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
def networks(tmp_path: Path) -> tuple[Path, Path]:
    return keep(tmp_path / "video_encoder", "video_encoder"), keep(tmp_path / "autoencoder", "autoencoder")


def test_features_and_latents_are_those_of_the_networks(
    clips: Shards, networks: tuple[Path, Path], tmp_path: Path
) -> None:
    encode_clips(clips, tmp_path / "latents", *networks, shard_clips=3)
    made = Shards(tmp_path / "latents")
    assert (made.fields, len(made)) == (("features", "latent"), len(clips))
    assert made.description["geometry"] == TINY.to_dict()
    with torch.no_grad():
        for index in range(len(clips)):
            frames = torch.from_numpy(clips.batch("frames", [index])).permute(0, 1, 4, 2, 3) / 255.0
            image = torch.from_numpy(clips.batch("log_mel", [index])).float().transpose(1, 2).unsqueeze(1)
            features = load_video_encoder(networks[0])(frames)[0].numpy()
            latent = load_autoencoder(networks[1]).encode(image)[0].numpy()
            assert (made.clip("features", index).dtype, made.clip("latent", index).dtype) == (np.float16, np.float32)
            np.testing.assert_allclose(made.clip("features", index), features, atol=1e-3)
            np.testing.assert_allclose(made.clip("latent", index), latent, atol=1e-4)


def test_shards_that_are_there_are_kept(clips: Shards, networks: tuple[Path, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    encode_clips(clips, tmp_path / "latents", *networks, shard_clips=3, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == [
        "1 of 3 shards encoded",
        "2 of 3 shards encoded",
        "3 of 3 shards encoded",
    ]
    before = Shards(tmp_path / "latents").batch("latent", range(8)).copy()  # type: ignore[arg-type]
    for file in shard_path(tmp_path / "latents", 1).iterdir():
        file.unlink()
    shard_path(tmp_path / "latents", 1).rmdir()
    lines.clear()
    encode_clips(clips, tmp_path / "latents", *networks, shard_clips=3, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["2 of 3 shards encoded"]
    assert np.array_equal(Shards(tmp_path / "latents").batch("latent", range(8)), before)  # type: ignore[arg-type]


def test_latents_of_two_trainings_are_never_mixed(clips: Shards, networks: tuple[Path, Path], tmp_path: Path) -> None:
    encode_clips(clips, tmp_path / "latents", *networks)
    keep(networks[1], "autoencoder", seed=1)
    with pytest.raises(DatasetError, match="made from something else"):
        encode_clips(clips, tmp_path / "latents", *networks)


def test_a_training_that_is_not_finished_is_named(clips: Shards, networks: tuple[Path, Path], tmp_path: Path) -> None:
    (networks[0] / "weights.safetensors").unlink()
    with pytest.raises((CheckpointError, DatasetError), match=r"video_encoder/weights\.safetensors"):
        encode_clips(clips, tmp_path / "latents", *networks)


def test_clips_without_pictures_are_refused(latents: Shards, networks: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no frames and no log_mel"):
        encode_clips(latents, tmp_path / "latents", *networks)
