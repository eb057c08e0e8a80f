"""A small judge of pictures and sound: do they belong together, and what is heard?

It is a measuring instrument, no part of the generator: :mod:`mdsgen.evaluation` asks it about generated sound. Both
sides become features at a quarter of a picture's time, and convolutions over time compare them: what happens must be
seen and heard at the same moment. What kind of thing sounds, and of what material, is told from the sound alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SUBSTEPS = 4
"""Steps of the comparison per picture."""


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge: ``kinds`` and ``sounds`` are how many labels it tells apart."""

    bins: int
    frames_per_picture: int
    kinds: int
    sounds: int
    width: int = 128
    joint: int = 64
    embedding: int = 32


class Judge(nn.Module):
    """Pictures and a spectrogram to one row of figures, 0.7 M parameters.

    ``frames`` uint8 ``[B, F, 56, 56, 3]`` and ``log_mel [B, F·n, bins]`` (unit_db) become
    ``[B, 1 + kinds + sounds + embedding]``: how well they belong together (a logit: above 0 is aligned), logits of the
    kinds and of the sounds that are heard, and the vector of the sound whose distribution the Fréchet distance
    compares. :meth:`split` takes it apart.
    """

    threshold: Tensor
    embedding_mean: Tensor
    embedding_deviation: Tensor

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.pictures = PictureBranch(config.width, config.joint)
        self.sound = SoundBranch(config)
        self.joint = nn.Sequential(
            nn.Conv1d(3 * config.joint, config.joint, kernel_size=5, padding=2),
            nn.GELU(),
            nn.Conv1d(config.joint, config.joint, kernel_size=5, padding=2),
            nn.GELU(),
        )
        self.verdict = nn.Sequential(nn.Linear(2 * config.joint, config.joint), nn.GELU(), nn.Linear(config.joint, 1))
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("embedding_mean", torch.zeros(config.embedding))
        self.register_buffer("embedding_deviation", torch.ones(config.embedding))

    def forward(self, frames: Tensor, log_mel: Tensor) -> Tensor:
        heard, pooled = self.sound(log_mel)
        aligned = self.compare(self.pictures(frames), heard)  # [B]
        kinds, sounds, embedding = self.sound.describe(pooled)
        embedding = (embedding - self.embedding_mean) / self.embedding_deviation
        return torch.cat([(aligned - self.threshold)[:, None], kinds, sounds, embedding], dim=1)

    def calibrate(self, threshold: Tensor, embeddings: Tensor) -> None:
        """Call aligned what is above ``threshold`` now, and measure vectors in deviations of ``embeddings [N, E]``."""
        deviation, mean = torch.std_mean(embeddings, dim=0)
        self.threshold.add_(threshold)
        self.embedding_mean.add_(mean * self.embedding_deviation)
        self.embedding_deviation.mul_(deviation.clamp(min=1e-6))

    def compare(self, seen: Tensor, heard: Tensor) -> Tensor:
        """How well the features ``[B, joint, T]`` of both sides agree over time, ``[B]``."""
        x = self.joint(torch.cat([seen, heard, seen * heard], dim=1))  # [B, joint, T]
        verdict: Tensor = self.verdict(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1))  # [B, 1]
        return verdict.squeeze(1)

    def split(self, figures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The figures as ``aligned [B]``, ``kinds [B, kinds]``, ``sounds [B, sounds]``, ``embedding [B, E]``."""
        sizes = [1, self.config.kinds, self.config.sounds, self.config.embedding]
        aligned, kinds, sounds, embedding = torch.split(figures, sizes, dim=1)
        return aligned.squeeze(1), kinds, sounds, embedding


class PictureBranch(nn.Module):
    """What is seen, step by step: ``[B, F, 56, 56, 3] -> [B, joint, F·4]``."""

    def __init__(self, width: int, joint: int) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            _halving(3, 16),  # [B·F, 16, 28, 28]
            _halving(16, 32),  # [B·F, 32, 14, 14]
            _halving(32, 64),  # [B·F, 64, 7, 7]
            nn.Conv2d(64, 16, kernel_size=1),
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, width),
        )
        self.motion = nn.Sequential(_Around(width, 1), _Around(width, 2))
        self.steps = nn.Conv1d(width, SUBSTEPS * joint, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 63.75 - 2.0  # [B·F, 3, 56, 56]
        seen = self.picture(pixels).unflatten(0, frames.shape[:2])  # [B, F, width]
        steps: Tensor = self.steps(self.motion(seen.transpose(1, 2)))  # [B, 4·joint, F]
        apart = torch.unflatten(steps, 1, (-1, SUBSTEPS))  # [B, joint, 4, F]
        return apart.transpose(2, 3).flatten(2)  # [B, joint, F·4]


class SoundBranch(nn.Module):
    """What is heard, step by step and as a whole: ``[B, F·n, bins] -> [B, joint, F·4], [B, 2·width]``."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        width, stride = config.width, config.frames_per_picture // SUBSTEPS
        self.layers = nn.Sequential(
            nn.Conv1d(config.bins, width, kernel_size=5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=stride, stride=stride),  # [B, width, F·4]
            nn.GroupNorm(1, width),
            nn.GELU(),
            _Around(width, 1),
            _Around(width, 3),
        )
        self.steps = nn.Conv1d(width, config.joint, kernel_size=1)
        self.embed = nn.Linear(2 * width, config.embedding)
        self.kinds = nn.Linear(config.embedding, config.kinds)
        self.sounds = nn.Linear(config.embedding, config.sounds)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(4.0 * log_mel.transpose(1, 2) - 1.0)  # [B, width, F·4]
        return self.steps(x), torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)

    def describe(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of kinds and sounds, and the embedding, of ``pooled [B, 2·width]``."""
        embedding = self.embed(pooled)  # [B, E]
        telling = F.gelu(embedding)
        return self.kinds(telling), self.sounds(telling), embedding


class _Around(nn.Module):
    """Looks at the neighbouring moments beside a short cut, ``[B, D, T] -> [B, D, T]``."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.around = nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.gelu(self.around(self.norm(x))))
        return x + mixed


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
