"""Every stage with networks that take a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from mdsgen.model.denoiser import Denoiser, DenoiserConfig
from mdsgen.training import denoising, distilling
from mdsgen.training.autoencoding import AutoencoderConfig, AutoencoderStage
from mdsgen.training.contrast import VideoEncoderConfig, VideoEncoderStage
from mdsgen.training.denoising import DenoiserStage, DenoiserStageConfig
from mdsgen.training.distilling import StudentConfig, StudentStage
from mdsgen.training.loop import Trainer
from mdsgen.training.noisy_vocoding import NoisyVocoderConfig, NoisyVocoderStage
from mdsgen.training.processes import Processes
from mdsgen.training.settings import Settings
from mdsgen.training.shards import Shards
from mdsgen.training.stage import Stage
from mdsgen.training.vocoding import VocoderConfig, VocoderStage
from tests.training.datasets import TINY

SETTINGS = Settings(
    steps=6, batch=4, learning_rate=3e-3, warm_up=2, ema=0.9, log_every=1, checkpoint_every=100, picture_every=100
)
denoising.SIZES = distilling.SIZES = denoising.SIZES | {"small-test": DenoiserConfig(32, 2, 2, 1, timestep_channels=16)}

SMALL_STUDENT = StudentConfig(
    size="small-test", video="columns", timestep_channels=16, clean_limit=4.0, known_share=0.5, guidance=3.0
)


def teacher() -> Denoiser:
    """A denoiser with seeded weights, in which video matters."""
    denoiser = Denoiser(TINY, DenoiserConfig(32, 2, 2, 1, timestep_channels=16, video="columns"))
    generator = torch.Generator().manual_seed(1)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return denoiser.eval()


class FrozenNorms(VideoEncoderStage):
    """The video encoder's stage with batch norms that do not look at the batch."""

    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(mode)
        self.video.apply(
            lambda module: module.eval() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) else 0
        )
        return self


def small_stage(name: str) -> Stage:
    """The stage with seeded weights."""
    torch.manual_seed(0)
    if name == "video_encoder":
        return VideoEncoderStage(TINY, VideoEncoderConfig(channels=8, width=16, fast=8, crop=8))
    if name == "frozen_norms":
        return FrozenNorms(TINY, VideoEncoderConfig(channels=8, width=16, fast=8, crop=8))
    if name == "autoencoder":
        return AutoencoderStage(TINY, AutoencoderConfig(width=16, crop=64))
    if name == "vocoder":
        return VocoderStage(TINY, VocoderConfig(width=16, depth=1, crop=32, resolutions=(256, 1024)))
    if name == "noisy_vocoder":
        config_of_noise = NoisyVocoderConfig(width=16, depth=1, crop=32, windows=(256, 1024), channels=4)
        return NoisyVocoderStage(TINY, config_of_noise)
    if name == "student":
        student = StudentStage(TINY, SMALL_STUDENT)
        student.learn_from(teacher(), "of the seeded teacher")
        return student
    config = DenoiserStageConfig(size="small-test", video="columns", masked_share=0.5, known_share=0.5)
    return DenoiserStage(TINY, config)


def trainer(name: str, clips: Shards, folder: Path, processes: Processes | None = None, **settings: object) -> Trainer:
    """The stage's training; ``settings`` as in :class:`Settings`."""
    return Trainer(
        small_stage(name),
        replace(SETTINGS, **settings),  # type: ignore[arg-type]
        clips,
        folder,
        processes=processes,
    )


def losses_of(training: Trainer) -> list[float]:
    """Train to the end; the loss of every step, as logged."""
    training.fit()
    rows = (training.folder / "log.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    return [float(row.split(",")[column]) for row in rows[1:]]
