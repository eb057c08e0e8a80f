"""Weights of a training say what they are, and nothing else is taken for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import mdsgen
from mdsgen.errors import CheckpointError
from mdsgen.training import trained
from mdsgen.training.recipe import Recipe, load_recipe
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_vocoder, read_training, save_trained


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("toy")


@pytest.fixture
def folder(recipe: Recipe, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_trained(tmp_path, "vocoder", recipe.section("vocoder").build(recipe.geometry).network, recipe, steps=7)
    return tmp_path


def edit_metadata(folder: Path, **values: str) -> None:
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, metadata | values)


@pytest.mark.parametrize("stage", ["video_encoder", "autoencoder", "vocoder", "denoiser", "judge"])
def test_every_network_comes_back_frozen_and_equal(stage: str, recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = recipe.section(stage).build(recipe.geometry).network
    save_trained(tmp_path, stage, network, recipe, steps=7)
    loaded = getattr(trained, f"load_{stage}")(tmp_path)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]


def test_the_file_says_what_it_is(folder: Path, recipe: Recipe) -> None:
    training = read_training(folder / WEIGHTS)
    assert (training.stage, training.steps, training.mdsgen) == ("vocoder", 7, mdsgen.__version__)
    assert training.geometry == recipe.geometry
    assert training.section == recipe.section("vocoder")


def test_weights_of_another_stage_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds the weights of the vocoder: expected those of the autoencoder"):
        load_autoencoder(folder)


def test_weights_that_do_not_fit_their_own_description_are_refused(folder: Path) -> None:
    values = read_training(folder / WEIGHTS).recipe.only("vocoder")
    values["vocoder"]["depth"] = 2
    edit_metadata(folder, recipe=json.dumps(values))
    with pytest.raises(CheckpointError, match="not the weights of the vocoder"):
        load_vocoder(folder)


@pytest.mark.parametrize(
    "metadata",
    [{"recipe": "{"}, {"recipe": "{}"}, {"recipe": "3"}, {"recipe": "[" * 100_000}, {"steps": "many"}, {"stage": "no"}],
    ids=range(6),
)
def test_a_damaged_description_is_refused(folder: Path, metadata: dict[str, str]) -> None:
    edit_metadata(folder, **metadata)
    with pytest.raises(CheckpointError, match="not the weights of a training by mdsgen"):
        load_vocoder(folder)


def test_other_files_are_refused(folder: Path) -> None:
    save_file({"weight": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="not the weights of a training by mdsgen"):
        load_vocoder(folder)
    (folder / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="not the weights of a training by mdsgen"):
        load_vocoder(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="no such file: train it to its end first"):
        load_vocoder(folder)


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(folder / WEIGHTS)
    name = next(name for name, value in state.items() if value.is_floating_point())
    state[name].view(-1)[0] = float("nan")
    save_file(state, folder / WEIGHTS, metadata)
    with pytest.raises(CheckpointError, match=f"NaN or infinite numbers in {name}"):
        load_vocoder(folder)


def test_a_description_of_a_larger_network_than_the_file_holds_takes_no_memory(folder: Path) -> None:
    values = read_training(folder / WEIGHTS).recipe.only("vocoder")
    values["vocoder"]["width"] = 10_000
    edit_metadata(folder, recipe=json.dumps(values))
    with pytest.raises(CheckpointError, match="no vocoder can be built in geometry toy: it would have more than"):
        load_vocoder(folder)
