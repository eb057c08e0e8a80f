"""The noise schedule that a model is trained with, and what it finds: part of the model, as weights are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from mdsgen.errors import SettingsError

KINDS = ("linear",)
"""How the betas rise from the first to the last one."""

TARGETS = ("noise", "velocity")
"""What a denoiser estimates: the noise in a latent (Ho et al., 2020), or its velocity ``alpha · noise - sigma · clean``
(Salimans & Ho, "Progressive distillation for fast sampling of diffusion models", 2022)."""

MAX_TRAIN_STEPS = 100_000
"""More than anyone trains with: a manifest is untrusted and may not ask for unbounded work."""


@dataclass(frozen=True)
class NoiseSchedule:
    """The variance that each of ``train_steps`` timesteps adds: betas from ``beta_start`` to ``beta_end``.

    ``target`` is what the denoiser estimates, one of :data:`TARGETS`. The defaults are the release's. Raises
    :class:`SettingsError` for what cannot be trained with.
    """

    beta_start: float = 1e-4
    beta_end: float = 2e-2
    train_steps: int = 1000
    kind: str = "linear"
    target: str = "noise"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r:.80}")
        if self.target not in TARGETS:
            raise SettingsError(f"target must be one of {', '.join(TARGETS)}, not {self.target!r:.80}")
        steps: Any = self.train_steps
        if isinstance(steps, bool) or not isinstance(steps, Integral) or not 2 <= int(steps) <= MAX_TRAIN_STEPS:
            raise SettingsError(f"train_steps must be a whole number from 2 to {MAX_TRAIN_STEPS}, not {steps!r:.80}")
        betas: tuple[Any, Any] = (self.beta_start, self.beta_end)
        if not all(isinstance(beta, Real) for beta in betas) or not 0.0 < betas[0] <= betas[1] < 1.0:
            raise SettingsError(f"betas must rise between 0 and 1, not from {betas[0]!r:.80} to {betas[1]!r:.80}")

    def betas(self) -> np.ndarray:
        """The variance that each timestep adds, float64 ``[train_steps]``."""
        return np.linspace(self.beta_start, self.beta_end, self.train_steps, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values. A target of noise, which once was the only one, is not named."""
        return {name: value for name, value in vars(self).items() if (name, value) != ("target", "noise")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseSchedule:
        """Read what :meth:`to_dict` wrote; every field but the target must be there, unknown ones are ignored."""
        for field in fields(cls):
            if field.name not in values and field.name != "target":
                raise SettingsError(f"{field.name} is missing")
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
