"""A small, whole model that exists in PyTorch, so that everything can be compared with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mdsgen.bench.subject import Subject
from mdsgen.export.models import Models
from mdsgen.geometry import PAPER
from mdsgen.model.audio import AudioCodec, hifigan, stable_diffusion_autoencoder
from mdsgen.model.denoiser import Denoiser, DenoiserConfig

SIZE = DenoiserConfig(width=16, depth=2, heads=2, decode_layers=1, timestep_channels=32)


class Encoder(nn.Module):
    """``[1, F, 3, 224, 224]`` -> ``[1, F, 512]``, of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 512, kernel_size=56, stride=56)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        features = self.patches(frames[0]).mean((2, 3))  # [F, 512]
        return nn.functional.normalize(features, dim=-1)[None]


@pytest.fixture(scope="session")
def models() -> Models:
    """Other weights than those of the tests' bundle."""
    torch.manual_seed(3)
    codec = AudioCodec(PAPER, stable_diffusion_autoencoder((8, 8, 8, 16)), hifigan(PAPER, channels=32))
    made = Models(Denoiser(PAPER, SIZE), Encoder(), codec)
    for network in (made.denoiser, codec.autoencoder, codec.vocoder):
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2 if network is made.denoiser else parameter[0].numel() ** -0.5)
    return made


@pytest.fixture(scope="session")
def subject(models: Models) -> Iterator[Subject]:
    """Its graphs are traced once."""
    with Subject(None, models.geometry.name, models.describe()["size"]) as made:
        made.models = models
        yield made
