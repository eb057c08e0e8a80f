"""What cameras and encoders do to a film, so that a video encoder learns motion and not the renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Disturbances:
    """How strongly the pictures of training clips are disturbed; each clip draws its own share of every one.

    ``light``: gain, contrast and gamma change by this share at most. ``tint``: the same of each colour on its own.
    ``shift``: the whole clip is moved by so many pixels at most, and
    one clip in four shakes by ``shake`` pixels. Half of the clips are mirrored, a quarter softened.
    """

    light: float = 0.25
    tint: float = 0.1
    shift: int = 3
    shake: int = 1

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Disturb ``frames`` uint8 ``[B, T, H, W, 3]`` of each clip in its own way; same shape and type."""
        return torch.stack([self._clip(clip, generator) for clip in frames])

    def _clip(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        mirrored, softened = torch.rand(2, generator=generator).tolist()
        lit = [np.take(table, clip[..., colour]) for colour, table in enumerate(self._lit(generator).numpy())]
        clip = torch.from_numpy(np.stack(lit, axis=-1))  # [T, H, W, 3]
        clip = self._moved(clip, generator)
        if mirrored < 0.5:
            clip = clip.flip(2)
        if softened < 0.25:
            planes = F.pad(clip.permute(0, 3, 1, 2).float(), (1, 1, 1, 1), mode="replicate")
            clip = F.avg_pool2d(planes, 3, stride=1).round().to(torch.uint8).permute(0, 2, 3, 1)
        return clip

    def _lit(self, generator: torch.Generator) -> Tensor:
        """What becomes of every value of every colour, uint8 ``[3, 256]``."""
        gain, contrast, gamma = (1.0 + self.light * (2.0 * torch.rand(3, generator=generator) - 1.0)).tolist()
        tint = 1.0 + self.tint * (2.0 * torch.rand(3, 1, generator=generator) - 1.0)
        value: Tensor = torch.linspace(0.0, 1.0, 256) ** gamma
        lit: Tensor = ((gain * tint * value - 0.5) * contrast + 0.5).clamp(0.0, 1.0)
        return (lit * 255.0).round().to(torch.uint8)

    def _moved(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """The clip's pictures moved, the border repeated: ``[T, H, W, 3]``."""
        time, height, width, _ = clip.shape
        shakes = int(torch.randint(4, (1,), generator=generator)) == 0
        by = torch.randint(-self.shift, self.shift + 1, (1, 2), generator=generator).expand(time, 2)
        if shakes:
            by = by + torch.randint(-self.shake, self.shake + 1, (time, 2), generator=generator)
        rows = (torch.arange(height) + by[:, :1]).clamp(0, height - 1)  # [T, H]
        columns = (torch.arange(width) + by[:, 1:]).clamp(0, width - 1)  # [T, W]
        times = torch.arange(time)[:, None, None]
        moved: Tensor = clip[times, rows[:, :, None], columns[:, None, :]]
        return moved
