"""How a network is trained: everything about the optimisation that is not the network's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mdsgen.errors import TrainingError

NOT_LEARNED = ("compile", "log_every", "checkpoint_every", "picture_every")
"""Settings that change nothing about what is learned: a training may go on with others."""

_LARGEST_BATCH, _LARGEST_SEED = 1 << 16, (1 << 63) - 1


@dataclass(frozen=True)
class Settings:
    """Settings of one training. Raises :class:`TrainingError` for impossible ones.

    ``batch`` is the whole batch of a step, of all processes together. The learning rate rises linearly over ``warm_up``
    steps, then stays (``"constant"``) or falls to a hundredth along a cosine. ``ema`` is the decay of the averaged
    weights, which are what is kept. ``compile`` lets torch.compile fuse the network: faster after a first minute.
    """

    steps: int
    batch: int
    learning_rate: float
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema: float = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 200
    picture_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "checkpoint_every", "picture_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name, most in (("batch", _LARGEST_BATCH), ("seed", _LARGEST_SEED)):
            if getattr(self, name) > most:
                raise TrainingError(f"{name} must be at most {most}, not {getattr(self, name)}")
        for name in ("warm_up", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} must not be negative, but is {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise TrainingError(f"ema must be at least 0 and below 1, not {self.ema}")
        for name, known in (("schedule", ("cosine", "constant")), ("precision", ("fp32", "bf16"))):
            if getattr(self, name) not in known:
                raise TrainingError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)!r}")

    def rate_at(self, step: int) -> float:
        """The learning rate of step ``step``, counted from 0."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))
