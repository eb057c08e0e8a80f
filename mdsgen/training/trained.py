"""Weights of this project's own trainings: one safetensors file each, which says what it is and how it was trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import nn

import mdsgen
from mdsgen.errors import CheckpointError, TrainingError, writing
from mdsgen.files import write_whole
from mdsgen.geometry import Geometry
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.model.denoiser import Denoiser
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.training.recipe import STAGES, Recipe, Section, parse_recipe
from mdsgen.weights.checkpoint import load_strictly, read_state_dict

if TYPE_CHECKING:
    from mdsgen.model.judge import Judge

WEIGHTS = "weights.safetensors"
"""What a finished training leaves in its folder."""

_FOR_TRAINING = 1 << 24  # numbers that a stage may have beside its network's, such as a second encoder's


@dataclass(frozen=True)
class Training:
    """What a weights file says of itself: a recipe with this one stage, the steps made, and by which mdsgen."""

    stage: str
    recipe: Recipe
    steps: int
    mdsgen: str

    @property
    def geometry(self) -> Geometry:
        return self.recipe.geometry

    @property
    def section(self) -> Section:
        return self.recipe.section(self.stage)


def save_trained(folder: Path, stage: str, network: nn.Module, recipe: Recipe, steps: int) -> Path:
    """Keep a network and what it was trained by as ``weights.safetensors`` in ``folder``, whole or not at all."""
    from safetensors.torch import save

    metadata = {
        "stage": stage,
        "recipe": json.dumps(recipe.only(stage)),
        "steps": str(steps),
        "mdsgen": mdsgen.__version__,
    }
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with writing(folder / WEIGHTS, TrainingError):
        write_whole(folder / WEIGHTS, _in_order(save(state, metadata)))  # save_file lets nobody else read the file
    return folder / WEIGHTS


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: the library writes metadata in another order each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # what follows stays aligned
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_training(path: Path) -> Training:
    """What a weights file says of itself. Raises :class:`CheckpointError` where it is none of ours."""
    from safetensors import safe_open

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: train it to its end first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        recipe = parse_recipe(json.loads(metadata["recipe"]), str(path))
        training = Training(metadata["stage"], recipe, int(metadata["steps"]), metadata["mdsgen"])
        recipe.section(training.stage)
    except Exception as error:  # whatever a damaged file or description makes the libraries raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise CheckpointError(f"{path}: not the weights of a training by mdsgen ({reason})") from error
    return training


def load_video_encoder(folder: str | Path) -> CompactVideoEncoder:
    """The video encoder that was trained in ``folder``, frozen and in eval mode.

    Like all loaders here it takes its sizes from the file itself, and raises :class:`CheckpointError` where the file is
    missing, damaged, or of another network.
    """
    return _load(Path(folder), CompactVideoEncoder, "video_encoder")


def load_autoencoder(folder: str | Path) -> CompactAutoencoder:
    """The autoencoder that was trained in ``folder``, with the mean and deviation of its latents."""
    return _load(Path(folder), CompactAutoencoder, "autoencoder")


def load_vocoder(folder: str | Path) -> IstftVocoder:
    """The vocoder that was trained in ``folder``, with noise or without."""
    return _load(Path(folder), IstftVocoder, "vocoder", "noisy_vocoder")


def load_denoiser(folder: str | Path) -> Denoiser:
    """The denoiser that was trained in ``folder``, with guidance in its weights or without."""
    return _load(Path(folder), Denoiser, "denoiser", "student")


def final_stage(work: Path, stage: str) -> str:
    """The stage whose network is a model's: of the vocoder the one with noise and of the denoiser the one that needs no
    guidance, where that has been trained."""
    further = {"vocoder": "noisy_vocoder", "denoiser": "student"}[stage]
    return further if (work / further / WEIGHTS).is_file() else stage


def load_judge(folder: str | Path) -> Judge:
    """The judge that was trained in ``folder``."""
    from mdsgen.model.judge import Judge

    return _load(Path(folder), Judge, "judge")


N = TypeVar("N", bound=nn.Module)


def _load(folder: Path, kind: type[N], *stages: str) -> N:
    """The network of a folder in which one of these stages was trained."""
    path = folder / WEIGHTS
    training = read_training(path)
    stage = training.stage
    if stage not in stages:
        expected = " or the ".join(stages)
        raise CheckpointError(f"{path} holds the weights of the {stage}: expected those of the {expected}")
    state = read_state_dict(path)
    most = _FOR_TRAINING + 2 * sum(value.numel() for value in state.values())
    try:
        network = training.section.build(training.geometry, most).network
    except TrainingError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(network, kind):
        raise TypeError(f"{STAGES[stage].stage} trains a {type(network).__name__}, not a {kind.__name__}")
    try:
        load_strictly(network, state, f"the {stage} that {path.name} describes")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return network.eval().requires_grad_(False)
