"""The compact video encoder: what is seen slowly, what moves fast, one vector per time column.

As SlowFast (Feichtenhofer et al., ICCV 2019) it looks at a film twice. The slow path sees one colour picture of every
column and says *what* there is. The fast path sees every picture, but grey, tiny, and beside its difference from the
one before: it says *when*. What it finds of a column's pictures is joined, not averaged, so that the time within the
column survives. The last channels of a column's vector are its onset cue: how likely something begins to sound in each
of the column's spectrogram frames (after TARO, arXiv 2504.05684, which conditions a denoiser on onsets).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.geometry import FEATURE_CHANNELS, Geometry

_FAST = 2  # the fast path's pictures are so many times smaller
_SMALLEST = 7  # pixels: pictures are halved until their sides are no longer


class CompactVideoEncoder(nn.Module):
    """RGB pictures, a whole number per time column, to features that tell what happens, and when.

    Raises ``ValueError`` for a geometry whose pictures do not come at a whole number per column, or in which a
    column's spectrogram frames cannot be divided among its pictures.
    """

    def __init__(self, geometry: Geometry, channels: int = 64, width: int = 192, fast: int = 96) -> None:
        super().__init__()
        self.per_column = geometry.pictures_per_column or 0
        self.onsets = frames = geometry.patch * geometry.compression  # spectrogram frames of a column
        if not self.per_column or frames % self.per_column or geometry.frame_size % 8:
            raise ValueError(
                f"the compact video encoder needs pictures that share a column's {frames} spectrogram frames, of a "
                f"size that divides by 8: the {geometry.name} geometry has {geometry.frame_rate:g} of "
                f"{geometry.frame_size} pixels a second"
            )
        self.embedding = FEATURE_CHANNELS - frames
        self.slow = _picture(3, channels, geometry.frame_size, width)
        self.fast = _picture(2, channels // 2, geometry.frame_size // _FAST, fast)
        self.moves = nn.Sequential(*(_Motion(fast, dilation) for dilation in (1, 2, 4)))
        self.cue = nn.Linear(fast, frames // self.per_column)
        self.join = nn.Linear(self.per_column * fast, width)
        self.around = nn.Sequential(*(_Motion(width, dilation) for dilation in (1, 2, 1)))
        self.head = nn.Linear(width, self.embedding)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, 3, H, W]`` in 0..1 to ``[B, columns, 512]``: unit vectors, behind them the onset cues in 0..1."""
        embedding, onsets = self.see(frames)
        return torch.cat([embedding, onsets.sigmoid()], dim=-1)

    def see(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, in two: unit vectors ``[B, columns, E]``, cues as logits ``[B, columns, onsets]``."""
        count = frames.shape[1] // self.per_column  # columns
        moving = self.moves(self._motion(frames).transpose(1, 2)).transpose(1, 2)  # [B, T, fast]
        joined = self.join(moving.reshape(-1, count, self.per_column * moving.shape[2]))  # [B, columns, D]
        still = self.slow(4.0 * frames[:, self.per_column // 2 :: self.per_column].flatten(0, 1) - 2.0)
        x = still.reshape(joined.shape) + joined
        x = self.around(x.transpose(1, 2)).transpose(1, 2)  # [B, columns, D]
        onsets = self.cue(moving).reshape(-1, count, self.per_column * self.cue.out_features)
        return F.normalize(self.head(x), dim=-1), onsets

    def _motion(self, frames: Tensor) -> Tensor:
        """Every picture grey and small beside its difference from the one before, seen: ``[B, T, fast]``."""
        batch, time = frames.shape[:2]
        grey = F.avg_pool2d(frames.mean(dim=2), _FAST)  # [B, T, H/2, W/2]
        change = grey - torch.cat([grey[:, :1], grey[:, :-1]], dim=1)
        both = torch.stack([4.0 * grey - 2.0, 8.0 * change], dim=2)  # [B, T, 2, H/2, W/2]
        seen: Tensor = self.fast(both.flatten(0, 1))
        return seen.reshape(batch, time, -1)


def _picture(inputs: int, channels: int, size: int, width: int) -> nn.Sequential:
    """``[N, inputs, size, size] -> [N, width]``. Where things are must survive: there is no mean over the picture."""
    sides = []
    while size > _SMALLEST:
        size //= 2
        sides.append(size)
    widths = [channels >> (len(sides) - 1 - index) for index in range(len(sides))]  # doubled each time, to all of them
    halvings = [_conv(have, out, stride=2) for have, out in zip([inputs, *widths[:-1]], widths, strict=True)]
    flat = nn.Sequential(nn.Conv2d(channels, 16, kernel_size=1), nn.Flatten(), nn.Linear(16 * size**2, width))
    return nn.Sequential(*halvings, _Residual(channels), *flat)


class _Residual(nn.Module):
    """Two convolutions over a picture beside a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class _Motion(nn.Module):
    """Looks at what is before and after, ``[B, D, T] -> [B, D, T]``."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.around = nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.mix(F.relu(self.around(self.norm(x))))
        return x + change


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
