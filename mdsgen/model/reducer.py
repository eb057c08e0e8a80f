"""The Reducer: 32 frame features become one vector that conditions the whole clip (MDSGen, section 3.2).

It has two parts, which the release keeps side by side in the denoiser under the names ``mlp_feat`` and ``conv1d_feat``.
"""

from __future__ import annotations

from torch import Tensor, nn

_EPSILON = 1e-12


class FrameProjection(nn.Sequential):
    """Projects every frame's feature to the denoiser's width: ``[B, frames, 512] -> [B, frames, D]``."""

    def __init__(self, channels: int, width: int) -> None:
        project = nn.Linear(channels, width)
        nn.init.normal_(project.weight, std=0.02)
        nn.init.zeros_(project.bias)
        super().__init__(project, nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))


class FramePooling(nn.Sequential):
    """A learned weighted sum over the frames, one scalar weight each: ``[B, frames, D] -> [B, D]``."""

    def __init__(self, frames: int, width: int) -> None:
        pool = nn.Conv1d(frames, 1, kernel_size=1)
        nn.init.normal_(pool.weight, std=0.02)
        super().__init__(pool, nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))

    def forward(self, features: Tensor) -> Tensor:
        pooled: Tensor = super().forward(features)  # type: ignore[no-untyped-call]  # [B, 1, D]
        return pooled.squeeze(1)
