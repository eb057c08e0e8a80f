"""Temporal-aware masking: whole time columns of tokens are dropped together (MDSGen, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mdsgen.geometry import Geometry


@dataclass(frozen=True)
class Mask:
    """Which tokens of each clip take part in the encoder blocks.

    ``keep [B, K]`` holds the kept tokens' positions in the grid, ascending; ``dropped [B, N]`` is true for the others.
    """

    keep: Tensor
    dropped: Tensor

    def select(self, x: Tensor) -> Tensor:
        """The kept tokens, ``[B, N, D] -> [B, K, D]``."""
        return x.gather(1, self.keep[:, :, None].expand(-1, -1, x.shape[2]))

    def restore(self, x: Tensor, fill: Tensor) -> Tensor:
        """The kept tokens back at their places and ``fill [1, 1, D]`` at the others, ``[B, K, D] -> [B, N, D]``."""
        batch, tokens = self.dropped.shape
        canvas = fill.to(x.dtype).expand(batch, tokens, x.shape[2])  # [B, N, D]
        return canvas.scatter(1, self.keep[:, :, None].expand(-1, -1, x.shape[2]), x)


def sample_mask(geometry: Geometry, batch: int, ratio: float, generator: torch.Generator | None = None) -> Mask:
    """Drop ``ratio`` of the time columns of each clip at random, all frequency rows of a column together.

    At least one column is kept. The draw is on the generator's device (the CPU without one). Raises ``ValueError`` for
    a ratio outside 0 ≤ ratio < 1.
    """
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f"mask ratio must be at least 0 and below 1, not {ratio}")
    device = generator.device if generator is not None else torch.device("cpu")
    columns = geometry.time_columns
    # The tiny term keeps 10 · (1 − 0.9) at 1 in floating point.
    kept = max(1, int(columns * (1.0 - ratio) + 1e-6))
    order = torch.rand(batch, columns, generator=generator, device=device).argsort(dim=1)  # [B, columns]
    column_kept = torch.zeros(batch, columns, dtype=torch.bool, device=device).scatter(1, order[:, :kept], True)
    # Along the time axis of the token grid; the same for every frequency row.
    shape = (batch, columns, 1) if geometry.time_axis == 0 else (batch, 1, columns)
    token_kept = column_kept.reshape(shape).expand(batch, *geometry.grid).reshape(batch, geometry.tokens)  # [B, N]
    positions = torch.arange(geometry.tokens, device=device).expand(batch, -1)
    keep = positions[token_kept].reshape(batch, kept * geometry.frequency_rows)  # [B, K], ascending
    return Mask(keep=keep, dropped=~token_kept)
