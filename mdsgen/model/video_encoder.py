"""The video encoder of CAVP: a SlowOnly ResNet-50 over frames, then one unit vector per frame.

Diff-Foley (NeurIPS 2023) trained it against spectrograms; MDSGen uses it frozen. SlowOnly is the slow pathway of
SlowFast (Feichtenhofer et al., ICCV 2019): a ResNet-50 on every frame, whose last two stages also look one frame back
and one ahead. Nothing is strided or pooled over time, so every frame keeps its own vector.

The checkpoint stores 3-D kernels, but none spans space and time at once. Here all of them run as 2-D convolutions on
``[B·T, C, H, W]``, for which CPU engines have their fastest code; the names and shapes stay the checkpoint's.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.geometry import FEATURE_CHANNELS

_EXPANSION = 4  # a bottleneck's output channels over its inner ones


class VideoEncoder(nn.Module):
    """RGB frames at 4 per second to features that tell what happens, and when. 32.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.video_encoder = _SlowOnly()
        self.video_project_head = nn.Linear(self.video_encoder.channels, FEATURE_CHANNELS)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, 3, 224, 224]`` in 0..1 to ``[B, T, 512]`` of length 1."""
        count = frames.shape[1]
        features = self.video_encoder(frames.flatten(0, 1), count)  # [B·T, 2048]
        features = self.video_project_head(features).unflatten(0, (-1, count))  # [B, T, 512]
        return F.normalize(features, dim=-1)


class _SlowOnly(nn.Module):
    """The ResNet-50: a stem, four stages of bottlenecks, and the mean over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _FrameConv(3, 64, size=7, stride=2)
        self.channels = 64
        self.layer1 = self._stage(64, blocks=3, stride=1, temporal=False)
        self.layer2 = self._stage(128, blocks=4, stride=2, temporal=False)
        self.layer3 = self._stage(256, blocks=6, stride=2, temporal=True)
        self.layer4 = self._stage(512, blocks=3, stride=2, temporal=True)

    def _stage(self, inner: int, blocks: int, stride: int, temporal: bool) -> nn.ModuleList:
        stage = nn.ModuleList()
        for index in range(blocks):
            stage.append(_Bottleneck(self.channels, inner, stride if index == 0 else 1, temporal))
            self.channels = inner * _EXPANSION
        return stage

    def forward(self, x: Tensor, frames: int) -> Tensor:
        x = F.relu(self.conv1(x))  # [B·T, 64, 112, 112]
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # [B·T, 64, 56, 56]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, frames)  # [B·T, 256 … 2048, 56 … 7, 56 … 7]
        return x.mean(dim=(2, 3))  # [B·T, 2048]


class _Bottleneck(nn.Module):
    """Narrow (in the late stages over three frames), 3×3, widen; added to what came in."""

    def __init__(self, channels: int, inner: int, stride: int, temporal: bool) -> None:
        super().__init__()
        outer = inner * _EXPANSION
        self.conv1 = _TimeConv(channels, inner) if temporal else _FrameConv(channels, inner)
        self.conv2 = _FrameConv(inner, inner, size=3, stride=stride)
        self.conv3 = _FrameConv(inner, outer)
        self.downsample = _FrameConv(channels, outer, stride=stride) if channels != outer else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        inner = self.conv1(x, frames) if isinstance(self.conv1, _TimeConv) else self.conv1(x)
        inner = self.conv3(F.relu(self.conv2(F.relu(inner))))
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


class _FrameConv(nn.Module):
    """A convolution over the picture, then BatchNorm. The kernel is stored as ``[out, in, 1, size, size]``."""

    def __init__(self, channels: int, out: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, kernel_size=(1, size, size), bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.stride, self.padding = stride, size // 2

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.conv.weight.squeeze(2)  # [out, in, size, size]
        normalised: Tensor = self.bn(F.conv2d(x, kernel, stride=self.stride, padding=self.padding))
        return normalised


class _TimeConv(nn.Module):
    """A convolution over three frames, then BatchNorm. The kernel is stored as ``[out, in, 3, 1, 1]``.

    One 1×1 convolution weighs each frame for the frame after it, for itself and for the frame before it; shifted sums
    bring the three together. No frame is copied or transposed for its neighbours to read.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, kernel_size=(3, 1, 1), bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        kernel = self.conv.weight.permute(2, 0, 1, 3, 4).flatten(0, 1)  # [3·out, in, 1, 1]
        weighed = F.conv2d(x, kernel)  # [B·T, 3·out, H, W]
        weighed = weighed.reshape(-1, frames, *weighed.shape[1:])  # [B, T, 3·out, H, W]
        before, here, after = weighed.chunk(3, dim=2)  # each [B, T, out, H, W]
        before = F.pad(before[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))  # what frame t-1 gives to t; nothing before the first
        after = F.pad(after[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))  # what frame t+1 gives to t; nothing after the last
        normalised: Tensor = self.bn((before + here + after).flatten(0, 1))  # [B·T, out, H, W]
        return normalised
