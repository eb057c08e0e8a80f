"""Which networks become a bundle: seeded ones that are the same everywhere, or files that fit together."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mdsgen.errors import CheckpointError, ExportError
from mdsgen.export import Models, published_models, seeded_models
from mdsgen.export.exporter import PyTorchSource
from mdsgen.export.models import PUBLISHED_LICENCE, UNTRAINED, trained_models
from mdsgen.geometry import PAPER, RELEASE
from mdsgen.model.denoiser import inference_parameters
from mdsgen.sampling import Distilled, Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.recipe import load_recipe, parse_recipe
from mdsgen.training.trained import save_trained
from mdsgen.weights.audioldm import save_audioldm
from tests.bundles import make_bundle
from tests.export.conftest import StandInEncoder, small_codec, small_denoiser
from tests.released import DECODE_LAYER, released_state


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few channels in the networks around the denoiser, so that building them takes no time."""
    module = "mdsgen.export.models"
    autoencoders = {geometry: small_codec(geometry).autoencoder for geometry in (PAPER, RELEASE)}
    monkeypatch.setattr(f"{module}.VideoEncoder", StandInEncoder)
    monkeypatch.setattr(f"{module}.stable_diffusion_autoencoder", lambda: autoencoders[PAPER])
    monkeypatch.setattr(f"{module}.audioldm_autoencoder", lambda: autoencoders[RELEASE])
    monkeypatch.setattr(f"{module}.hifigan", lambda geometry: small_codec(geometry).vocoder)


def weights(models: Models) -> dict[str, Tensor]:
    parts = {"denoiser": models.denoiser, "encoder": models.video_encoder, "codec": models.codec}
    return {f"{part}.{name}": p.clone() for part, net in parts.items() for name, p in net.named_parameters()}


# Seeded


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("geometry", [PAPER, RELEASE], ids=lambda geometry: geometry.name)
def test_a_seed_names_its_weights(geometry: object) -> None:
    first, again, other = (weights(seeded_models(geometry, "tiny", seed)) for seed in (0, 0, 1))  # type: ignore[arg-type]
    matrices = [name for name, value in first.items() if value.dim() > 1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in matrices)
    assert all(first[name].std() > 1e-3 for name in matrices if first[name].numel() > 1)


@pytest.mark.usefixtures("_small")
def test_seeding_leaves_the_caller_s_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    seeded_models()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("_small")
def test_seeded_models_say_that_they_are_untrained() -> None:
    models = seeded_models()
    assert models.provenance == {"weights": UNTRAINED}
    assert "untrained" in UNTRAINED
    assert models.describe() == {
        "size": "tiny",
        "width": 192,
        "depth": 7,
        "heads": 3,
        "parameters": inference_parameters(models.denoiser),
    }


def test_a_model_is_frozen_and_of_one_geometry() -> None:
    models = Models(small_denoiser().train(), StandInEncoder().train(), small_codec(PAPER))
    for network in (models.denoiser, models.video_encoder, models.codec):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert (models.geometry, models.describe()["size"]) == (PAPER, "custom")
    with pytest.raises(ExportError, match=r"denoiser is of the paper geometry, the audio networks are of the release"):
        Models(small_denoiser(), StandInEncoder(), small_codec(RELEASE))


# From files


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "mdsgen_audioldm.pt"
    torch.save(released_state(), path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "audioldm"
    save_audioldm(small_codec(RELEASE), folder)
    return folder


def described(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_files_become_a_model_that_says_where_it_came_from(
    checkpoint: Path, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cavp = tmp_path / "cavp.ckpt"
    cavp.write_bytes(b"weights")
    encoder = StandInEncoder()
    monkeypatch.setattr("mdsgen.export.models.load_cavp", lambda path: encoder)
    models = published_models(checkpoint, cavp, str(audio), RELEASE, DECODE_LAYER)
    assert models.video_encoder is encoder
    assert (models.geometry, models.denoiser.config.decode_layers) == (RELEASE, DECODE_LAYER)
    assert models.licence == PUBLISHED_LICENCE
    assert models.provenance == {
        "denoiser": described(checkpoint),
        "decode_layer": DECODE_LAYER,
        "video_encoder": described(cavp),
        "audio": {
            "source": "audioldm",
            "vae": described(audio / "vae" / "diffusion_pytorch_model.safetensors"),
            "vocoder": described(audio / "vocoder" / "model.safetensors"),
        },
    }
    assert str(tmp_path) not in str(models.provenance)


def test_a_checkpoint_of_another_size_is_refused_before_the_other_files_are_read(checkpoint: Path) -> None:
    with pytest.raises(ExportError, match=r"mdsgen_audioldm\.pt holds 4 blocks of 48 \(custom\), not the base model"):
        published_models(checkpoint, Path("missing"), "./missing", RELEASE, DECODE_LAYER, "base")


def test_a_checkpoint_of_another_geometry_is_refused_before_the_other_files_are_read(checkpoint: Path) -> None:
    with pytest.raises(ExportError, match=r"is of the release geometry, not paper: ask for the geometry release"):
        published_models(checkpoint, Path("missing"), "./missing", PAPER, DECODE_LAYER)


@pytest.mark.parametrize("missing", ["checkpoint", "cavp", "audioldm"])
def test_a_file_that_is_missing_is_named(
    checkpoint: Path, audio: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"checkpoint": str(checkpoint), "cavp": str(checkpoint), "audioldm": str(audio)}
    files[missing] = f"./no-{missing}-here"
    if missing == "audioldm":
        monkeypatch.setattr("mdsgen.export.models.load_cavp", lambda path: StandInEncoder())
    with pytest.raises(CheckpointError, match=f"no-{missing}-here: no such"):
        published_models(Path(files["checkpoint"]), Path(files["cavp"]), files["audioldm"], RELEASE, DECODE_LAYER)


@pytest.mark.parametrize(
    "table", [{}, {"beta_end": 0.04, "noise_steps": 500, "target": "velocity"}], ids=["the default", "another"]
)
def test_a_trained_model_has_the_noise_schedule_of_its_recipe(table: dict[str, Any], tmp_path: Path) -> None:
    toy = load_recipe("toy")
    values = {stage: toy.only(stage)[stage] for stage in ("video_encoder", "autoencoder", "vocoder", "denoiser")}
    for name in ("beta_start", "beta_end", "noise_steps"):
        del values["denoiser"][name]  # as in weights from before there was a choice
    values["denoiser"] |= table
    recipe = parse_recipe({"geometry": toy.geometry.to_dict(), **values}, "recipe.toml")
    for stage in values:
        (tmp_path / stage).mkdir()
        save_trained(tmp_path / stage, stage, recipe.section(stage).build(toy.geometry).network, recipe, steps=1)
    schedule = NoiseSchedule(beta_end=0.04, train_steps=500, target="velocity") if table else NoiseSchedule()
    models = trained_models(tmp_path)
    assert models.schedule == schedule
    assert (
        PyTorchSource(models, Sampling()).describe(make_bundle(tmp_path / "bundle").graphs, "fp32").schedule == schedule
    )


def test_a_trained_student_goes_before_its_teacher_and_says_how_it_is_sampled(tmp_path: Path) -> None:
    toy = load_recipe("toy")
    for stage in ("video_encoder", "autoencoder", "vocoder", "denoiser", "student"):
        (tmp_path / stage).mkdir()
        save_trained(tmp_path / stage, stage, toy.section(stage).build(toy.geometry).network, toy, steps=1)
    models = trained_models(tmp_path)
    assert models.sampling == Sampling(4, 1.0, solver="unipc-2", clean_limit=4.0, distilled=Distilled(2.0, (4, 2)))
    assert (models.branches, models.continues) == (1, True)
    assert {"denoiser", "student"} <= models.provenance.keys()
    (tmp_path / "student" / "weights.safetensors").unlink()
    teacher = trained_models(tmp_path)
    assert (teacher.sampling, teacher.branches, teacher.continues) == (Sampling(), 2, True)
    assert "student" not in teacher.provenance
