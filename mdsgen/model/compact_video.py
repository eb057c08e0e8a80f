"""The compact video encoder: one unit vector per video frame from 1.4 M parameters, 22 times fewer than CAVP's.

Every picture is averaged down to 56×56 and goes through a small convolutional network; convolutions over time then tell
*when* between two pictures something happens. Input and output are those of
:class:`~mdsgen.model.video_encoder.VideoEncoder`, and so is the way it is trained (:mod:`mdsgen.training.contrast`).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.geometry import FEATURE_CHANNELS, PICTURE_SIZE


class CompactVideoEncoder(nn.Module):
    """RGB frames at 4 per second to features that tell what happens, and when."""

    def __init__(self, channels: int = 96, width: int = 256) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            _conv(3, channels // 4, stride=2),  # [B·T, C/4, 28, 28]
            _conv(channels // 4, channels // 2, stride=2),  # [B·T, C/2, 14, 14]
            _conv(channels // 2, channels, stride=2),  # [B·T, C, 7, 7]
            _Residual(channels),
            nn.Conv2d(
                channels, channels // 4, kernel_size=1
            ),  # where things are must survive: no mean over the picture
            nn.Flatten(),
            nn.Linear(channels // 4 * (PICTURE_SIZE // 8) ** 2, width),
        )
        self.motion = nn.Sequential(*(_Motion(width, dilation) for dilation in (1, 2, 1)))
        self.head = nn.Linear(width, FEATURE_CHANNELS)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, 3, 224, 224]`` in 0..1 to ``[B, T, 512]`` of length 1."""
        pictures = F.avg_pool2d(frames.flatten(0, 1), frames.shape[-1] // PICTURE_SIZE)  # [B·T, 3, 56, 56]
        return self.features(pictures.reshape(*frames.shape[:2], *pictures.shape[1:]))

    def features(self, pictures: Tensor) -> Tensor:
        """As :meth:`forward`, of pictures that are small already: ``[B, T, 3, 56, 56]`` to ``[B, T, 512]``."""
        batch, count = pictures.shape[:2]
        seen = self.picture(4.0 * pictures.flatten(0, 1) - 2.0)  # [B·T, D]
        x = self.motion(seen.reshape(batch, count, -1).transpose(1, 2))  # [B, D, T]
        return F.normalize(self.head(x.transpose(1, 2)), dim=-1)  # [B, T, 512]


class _Residual(nn.Module):
    """Two convolutions over a picture beside a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class _Motion(nn.Module):
    """Looks at the neighbouring pictures, ``[B, D, T] -> [B, D, T]``."""

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
