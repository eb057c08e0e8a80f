"""What tells the denoiser where a token stands and how noisy the latent is."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

MAX_PERIOD = 10_000


class PatchEmbedding(nn.Module):
    """Cuts a latent into patches and projects each to one token: a convolution whose stride is its kernel."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, latent: Tensor) -> Tensor:
        x: Tensor = self.proj(latent)  # [B, C, H, W] -> [B, D, rows, columns]
        return x.flatten(2).transpose(1, 2)  # [B, N, D]


class TimestepEmbedding(nn.Module):
    """Sinusoids of the diffusion timestep through a small MLP."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timestep: Tensor) -> Tensor:
        first: nn.Linear = self.mlp[0]  # type: ignore[assignment]
        waves = sinusoids(timestep, first.in_features)  # [B, channels]
        embedding: Tensor = self.mlp(waves.to(first.weight.dtype))  # [B, D]
        return embedding


def sinusoids(timestep: Tensor, channels: int) -> Tensor:
    """Cosines, then sines of geometrically spaced frequencies, ``[B] -> [B, channels]``. Timesteps may be fractions."""
    half = channels // 2
    frequency = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, device=timestep.device) / half)  # [channels / 2]
    angle = timestep[:, None].float() * frequency  # [B, channels / 2]
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def sincos_position_embedding(rows: int, columns: int, width: int) -> Tensor:
    """The start value of the learned position embeddings, ``[1, rows·columns, width]``.

    A quarter each of sin and cos of the column, then of the row, as in MAE (He et al., 2022).
    """
    quarter = width // 4
    frequency = 1.0 / MAX_PERIOD ** (np.arange(quarter, dtype=np.float64) / quarter)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    column_angle = column.reshape(-1, 1) * frequency  # [N, width / 4]
    row_angle = row.reshape(-1, 1) * frequency  # [N, width / 4]
    parts = [np.sin(column_angle), np.cos(column_angle), np.sin(row_angle), np.cos(row_angle)]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float().unsqueeze(0)
