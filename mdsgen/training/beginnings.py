"""Clips whose first time columns are known already, as those of a window that goes on from the one before it.

In training they are given clean but for a slight noise, since what a model goes on from is its own and not quite real
(SALSA-V, arXiv 2510.02916). They are marked (:mod:`mdsgen.marks`), and no part of any loss.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mdsgen.geometry import Geometry


class Beginnings(NamedTuple):
    """``columns [B]``: how many first time columns of each clip are known, and ``sigma [B]``: how noisy they are."""

    columns: Tensor
    sigma: Tensor

    @classmethod
    def of_batch(cls, known: Tensor | None, known_sigma: Tensor | None) -> Beginnings | None:
        """Those of a batch that :meth:`to_batch` is part of; None where it has none."""
        return None if known is None or known_sigma is None else cls(known, known_sigma)

    def to_batch(self) -> dict[str, Tensor]:
        """As the part of a stage's batch that :meth:`of_batch` reads."""
        return {"known": self.columns, "known_sigma": self.sigma}

    def given(self, geometry: Geometry, noisy: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
        """``noisy [B, C, H, W]`` with the known columns as they are given: clean, with a little of ``noise``."""
        slightly = clean + self.sigma.to(clean)[:, None, None, None] * noise
        return torch.where(self.known(geometry), slightly, noisy)

    def known(self, geometry: Geometry) -> Tensor:
        """Where a latent is known, ``[B, 1, H, 1]`` or ``[B, 1, 1, W]``, bool."""
        places = torch.arange(geometry.time_columns * geometry.patch, device=self.columns.device) // geometry.patch
        known = places < self.columns[:, None]  # [B, time]
        return known[:, None, :, None] if geometry.time_axis == 0 else known[:, None, None, :]


def draw_beginnings(
    geometry: Geometry, batch: int, share: float, most_noise: float, generator: torch.Generator
) -> Beginnings:
    """For ``share`` of the clips any number of columns but all is known; sigma is uniform up to ``most_noise``."""
    device, columns = generator.device, geometry.time_columns
    some = torch.rand(batch, generator=generator, device=device) < share  # [B]
    number = torch.randint(1, columns, (batch,), generator=generator, device=device)  # [B]
    sigma = most_noise * torch.rand(batch, generator=generator, device=device)
    return Beginnings(torch.where(some, number, 0), sigma)
