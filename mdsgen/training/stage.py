"""What every training has in common: a network, batches for it, and a loss.

A stage is a module whose ``forward`` computes the losses of one batch. All chance lies in :meth:`Stage.draw`, which
makes the whole batch of one step from one random generator: a step can be repeated, a training resumed, and a batch
divided among processes, and the numbers stay the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mdsgen.errors import TrainingError
from mdsgen.geometry import Geometry
from mdsgen.training.shards import Shards

LOSS = "loss"
"""The name of what is minimised among a stage's losses; the others are only logged."""


class Stage(nn.Module, ABC):
    """One network in training."""

    name: ClassVar[str]
    """As in the configuration, with hyphens on the command line."""
    fields: ClassVar[tuple[str, ...]]
    """What the dataset must hold of every clip."""
    geometry: Geometry
    config: Any
    """The stage's own settings, a dataclass of plain values."""

    def take(self, folder: Path) -> None:
        """Begin with what an earlier stage of the same model left in its ``folder``, where this one goes on from it."""

    def take_checkpoint(self, checkpoint: Path) -> None:
        """Begin with the weights in a file. Raises :class:`TrainingError` where the stage begins with none."""
        raise TrainingError(f"the {self.name} begins with no checkpoint of others")

    @abstractmethod
    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The batch of one step, every tensor ``[size, ...]``, on the CPU."""

    @abstractmethod
    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The losses of a batch or of one process's part of it, scalars; :data:`LOSS` is what to minimise."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What the training is for: its weights are kept at the end."""

    def describe(self) -> dict[str, Any]:
        """The stage's own configuration as plain values: what must not change when a training goes on."""
        return dict(vars(self.config))

    def finish(self, clips: Shards) -> None:
        """Set what the network needs to know of its training data, once it is trained."""

    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray | None:
        """What the network makes of a few clips, grey values ``[height, width]`` in 0..1, or nothing to show."""
        return None


def check_crop(crop: int, geometry: Geometry) -> None:
    """Raise :class:`ValueError` where a clip has no crop of so many spectrogram frames."""
    if not 1 <= crop <= geometry.mel_frames:
        raise ValueError(f"crop must be 1 to {geometry.mel_frames} spectrogram frames, not {crop}")


def choose(clips: Shards, size: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of ``size`` different clips, or of the same ones several times where there are fewer, ``[size]``."""
    return rng.choice(len(clips), size, replace=size > len(clips))


def floats(
    clips: Shards, field: str, indices: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
) -> Tensor:
    """One field of several clips on a device, float32 ``[len(indices), ...]``."""
    return torch.from_numpy(clips.batch(field, indices)).to(device).float()


def generator_from(rng: np.random.Generator) -> torch.Generator:
    """A PyTorch generator that continues a NumPy one."""
    return torch.Generator().manual_seed(int(rng.integers(1 << 62)))
