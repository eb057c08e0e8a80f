"""The Reducer: 32 frame features become one vector that conditions the whole clip (MDSGen, section 3.2).

It has two parts, which the release keeps side by side in the denoiser under the names ``mlp_feat`` and ``conv1d_feat``.
"""

from __future__ import annotations

from torch import Tensor, nn

_EPSILON = 1e-12


class FrameProjection(nn.Sequential):
    """Projects every frame's feature to the denoiser's width: ``[B, frames, 512] -> [B, frames, D]``."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Linear(channels, width), nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))
        nn.init.normal_(self[0].weight, std=0.02)
        nn.init.zeros_(self[0].bias)


class FramePooling(nn.Sequential):
    """A learned weighted sum over the frames, one scalar weight each: ``[B, frames, D] -> [B, D]``."""

    def __init__(self, frames: int, width: int) -> None:
        super().__init__(nn.Conv1d(frames, 1, kernel_size=1), nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))
        nn.init.normal_(self[0].weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        pooled: Tensor = super().forward(features)  # [B, 1, D]
        return pooled.squeeze(1)
