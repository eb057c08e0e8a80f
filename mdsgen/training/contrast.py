"""Training the video encoder: pictures and sound of the same moment get the same vector, all others different ones.

As CAVP is trained (Diff-Foley, NeurIPS 2023): contrast between clips teaches what is heard, contrast between moments of
one clip teaches when. Here both are one: every frame of the batch must find its own sound among all frames of all clips
and among its own clip's sound shifted by less than a frame, so that the vectors tell the time more finely than the
pictures come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from mdsgen.geometry import FEATURE_CHANNELS, Geometry
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, choose

_COLDEST = math.log(100.0)  # similarity is multiplied by this at most, as in CLIP


@dataclass(frozen=True)
class VideoEncoderConfig:
    """Sizes of the compact video encoder, and how far its shifted negatives are shifted."""

    channels: int = 96
    width: int = 256
    shift_least: float = 0.06  # seconds
    shift_most: float = 0.3


class VideoEncoderStage(Stage):
    """Contrastive training of :class:`~mdsgen.model.compact_video.CompactVideoEncoder` beside a sound encoder.

    Several processes contrast all their clips with each other, as one would. Their batch norms are one only on GPUs
    (see :class:`~mdsgen.training.loop.Trainer`).
    """

    name = "video_encoder"
    fields = ("frames", "log_mel")

    def __init__(self, geometry: Geometry, config: VideoEncoderConfig) -> None:
        super().__init__()
        self.geometry, self.config = geometry, config
        self.video = CompactVideoEncoder(config.channels, config.width)
        self.sound = SoundEncoder(geometry)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def network(self) -> CompactVideoEncoder:
        return self.video

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """``frames`` uint8, ``log_mel``, and ``shifted``: the same spectrogram too late or too early."""
        indices = choose(clips, size, rng)
        log_mel = torch.from_numpy(clips.batch("log_mel", indices)).float()  # [B, frames, bins]
        second = self.geometry.mel_frames / self.geometry.duration
        shift = rng.uniform(self.config.shift_least, self.config.shift_most, size) * rng.choice([-1, 1], size)
        rolled = [clip.roll(round(by * second), dims=0) for clip, by in zip(log_mel, shift, strict=True)]
        frames = torch.from_numpy(clips.batch("frames", indices))  # [B, F, 56, 56, 3]
        return {"frames": frames, "log_mel": log_mel, "shifted": torch.stack(rolled)}

    def forward(self, frames: Tensor, log_mel: Tensor, shifted: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        video = self.video.features(frames.permute(0, 1, 4, 2, 3).float() / 255.0)  # [B, F, 512]
        sound, late = self.sound(torch.cat([log_mel, shifted])).chunk(2)  # [B, F, 512] each
        return self._contrast(*(_gathered(features).float() for features in (video, sound, late)))

    def _contrast(self, video: Tensor, sound: Tensor, late: Tensor) -> dict[str, Tensor]:
        scale = self.log_temperature.clamp(max=_COLDEST).exp()
        count = video.shape[1]
        alike = scale * video.flatten(0, 1) @ sound.flatten(0, 1).T  # [B·F, B·F]
        too_late = scale * video @ late.transpose(1, 2)  # [B, F, F]: every frame against its own clip's shifted sound
        among_sounds = torch.cat([alike, too_late.flatten(0, 1)], dim=1)  # [B·F, B·F + F]
        right = torch.arange(len(alike), device=alike.device)
        loss = 0.5 * (F.cross_entropy(among_sounds, right) + F.cross_entropy(alike.T, right))
        with torch.no_grad():
            own = alike.reshape(len(video), count, len(video), count)
            own = own.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # [B, F, F]: frames of one clip
            when = (own.argmax(dim=2) == torch.arange(count, device=own.device)).float().mean()
            unshifted = (own.diagonal(dim1=1, dim2=2) > too_late.diagonal(dim1=1, dim2=2)).float().mean()
            what = (alike.argmax(dim=1) // count == right // count).float().mean()
        return {LOSS: loss, "right_clip": what, "right_frame": when, "right_shift": unshifted}


class SoundEncoder(nn.Module):
    """A spectrogram to one unit vector per video frame, ``[B, frames, bins] -> [B, F, 512]``; only for training."""

    def __init__(self, geometry: Geometry, width: int = 256) -> None:
        super().__init__()
        steps = geometry.mel_frames // geometry.video_frames  # spectrogram frames per video frame
        self.layers = nn.Sequential(
            nn.Conv1d(geometry.mel.bins, width, kernel_size=5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=4, stride=4),  # [B, D, frames/4]
            nn.GroupNorm(1, width),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv1d(width, 2 * width, kernel_size=steps // 4, stride=steps // 4),  # [B, 2D, F]
            nn.GroupNorm(1, 2 * width),
            nn.GELU(),
            nn.Conv1d(2 * width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv1d(width, FEATURE_CHANNELS, kernel_size=1),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        features = self.layers(2.0 * log_mel.transpose(1, 2) - 1.0)  # [B, 512, F]
        return F.normalize(features.transpose(1, 2), dim=-1)


def _gathered(features: Tensor) -> Tensor:
    """The features of all processes, so that every clip of the whole batch is a negative."""
    return _Gather.apply(features) if distributed.is_initialized() else features  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """Every process's ``[B, ...]`` as one ``[n·B, ...]``; each gets back what all of them make of its part.

    PyTorch's own mixes gradients up where they are not contiguous.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        features = features.contiguous()
        parts = [torch.empty_like(features) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, features)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
