"""One model's training from nothing: where everything lies, and how one stage after the other is gone through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mdsgen.errors import DatasetError, TrainingError
from mdsgen.geometry import completed
from mdsgen.report import Report
from mdsgen.training.checkpoint import difference
from mdsgen.training.clips import Spread, clip_formats, prepare_scenes
from mdsgen.training.decoding import decoded
from mdsgen.training.encoding import encoded
from mdsgen.training.loop import Trainer
from mdsgen.training.processes import Processes
from mdsgen.training.published import PublishedClips
from mdsgen.training.recipe import STAGES, Recipe
from mdsgen.training.settings import NOT_LEARNED
from mdsgen.training.shards import Shards, derive
from mdsgen.training.trained import WEIGHTS, read_training, save_trained
from mdsgen.training.videos import CompactClips, prepare_videos


@dataclass(frozen=True)
class Work:
    """A folder for one model: its datasets, and a folder per stage."""

    folder: Path

    @property
    def clips(self) -> Path:
        """Pictures, sound and spectrograms."""
        return self.folder / "clips"

    @property
    def latents(self) -> Path:
        """What the denoiser learns from: features and latents."""
        return self.folder / "latents"

    @property
    def decoded(self) -> Path:
        """Spectrograms as the finished model decodes them, beside the clips' own."""
        return self.folder / "decoded"

    def stage(self, name: str) -> Path:
        """Where a stage keeps its checkpoint, log and pictures, and at its end its weights."""
        return self.folder / name


def render_scenes(work: Work, recipe: Recipe, *, spread: Spread, report: Report) -> None:
    """Make the clips as the recipe says, from scenes."""
    scenes = recipe.scenes
    prepare_scenes(work.clips, recipe.geometry, scenes.scenes, scenes.first_seed, spread=spread, report=report)


def prepare_films(
    work: Work,
    recipe: Recipe,
    root: Path,
    films: Sequence[Path],
    networks: tuple[str | Path, str] | None,
    *,
    spread: Spread,
    report: Report,
) -> None:
    """Make the clips from films below ``root``, or features and latents at once by the published networks."""
    if networks is None:
        prepare_videos(work.clips, root, films, CompactClips(recipe.geometry), spread=spread, report=report)
    else:
        make = PublishedClips.of(recipe.geometry, *networks)
        prepare_videos(work.latents, root, films, make, spread=spread, report=report)


def train_stage(
    work: Work, recipe: Recipe, name: str, processes: Processes, report: Report, checkpoint: Path | None = None
) -> Path:
    """Train one stage to its end, from where it stands, and keep its weights; returns their file.

    It begins with what earlier stages left in the folder, or with published weights in a ``checkpoint``.

    Raises :class:`TrainingError` where the folder holds the training of another recipe, and ``KeyboardInterrupt`` once
    the checkpoint of an interrupted training has been kept.
    """
    section, folder = recipe.section(name), work.stage(name)
    weights = folder / WEIGHTS
    if weights.exists():
        _check_finished(weights, recipe, name)
        report(f"finished already: {weights} (remove it, and the checkpoint beside it, to train anew)")
        return weights
    clips = _dataset(work.folder / STAGES[name].dataset, recipe)
    torch.manual_seed(section.training.seed)
    stage = section.build(recipe.geometry)
    if checkpoint is None:
        stage.take(work.folder)
    else:
        stage.take_checkpoint(checkpoint)
    trainer = Trainer(stage, section.training, clips, folder, processes=processes, report=report)
    trainer.fit()
    if processes.first:
        save_trained(folder, name, trainer.finish(), recipe, trainer.step)
        report(f"finished: {weights}")
    return weights


def encode_dataset(work: Work, recipe: Recipe, device: torch.device, report: Report) -> None:
    """Make the denoiser's dataset by the finished video encoder and autoencoder."""
    clips = _dataset(work.clips, recipe)
    clips.require_formats(clip_formats(recipe.geometry))
    for name in ("video_encoder", "autoencoder"):
        _check_there(work, recipe, name)
    derive(encoded(clips, work.folder, device), work.latents, report=report)


def decode_dataset(work: Work, recipe: Recipe, device: torch.device, report: Report) -> None:
    """Make the noisy vocoder's dataset by the finished autoencoder and denoiser."""
    decoding, clips, latents = recipe.decoded, _dataset(work.clips, recipe), _dataset(work.latents, recipe)
    for name in ("autoencoder", "denoiser"):
        _check_there(work, recipe, name)
    derive(decoded(clips, latents, work.folder, decoding, device), work.decoded, report=report)


_MADE_BY = {"clips": "prepare", "latents": "encode", "decoded": "decode"}
"""The command that makes each dataset."""


def _dataset(folder: Path, recipe: Recipe) -> Shards:
    if not folder.is_dir():
        raise DatasetError(f"{folder} holds no clips: make them with mdsgen-train {_MADE_BY[folder.name]}")
    clips = Shards(folder)
    found = completed(clips.description).get("geometry")
    if found != recipe.geometry.to_dict():
        name = found.get("name") if isinstance(found, dict) else found
        raise DatasetError(f"{folder} was made for geometry {name}, {recipe.source} is for {recipe.geometry.name}")
    return clips


def _check_there(work: Work, recipe: Recipe, name: str) -> None:
    """A stage that another one needs is finished, by this recipe."""
    weights = work.stage(name) / WEIGHTS
    if not weights.exists():
        raise TrainingError(f"{weights} is missing: run mdsgen-train {name.replace('_', '-')} to its end first")
    _check_finished(weights, recipe, name)


def _check_finished(weights: Path, recipe: Recipe, name: str) -> None:
    """Finished is only what was trained by this very recipe."""
    found, expected = read_training(weights).recipe.only(name), recipe.only(name)
    found, expected = json.loads(json.dumps(found)), json.loads(json.dumps(expected))
    for values in (found, expected):
        for key in NOT_LEARNED:
            del values[name]["training"][key]
    if found != expected:
        raise TrainingError(
            f"{weights} is of another training ({difference(found, expected)}): go on with that recipe, or choose "
            "another --work"
        )
