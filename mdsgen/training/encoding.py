"""From clips to what the denoiser learns from: the features of their pictures and the latents of their spectrograms."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.report import Report
from mdsgen.training.clips import SHARD_CLIPS
from mdsgen.training.shards import Shards, describe, fill, sha256
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_video_encoder

_BATCH = 16  # clips that go through the networks together


def encode_clips(
    clips: Shards,
    folder: Path,
    video_encoder: Path,
    autoencoder: Path,
    *,
    device: torch.device | None = None,
    shard_clips: int = SHARD_CLIPS,
    report: Report = lambda line: None,
) -> None:
    """Encode every clip of a dataset by the networks that were trained in two folders, in the same order.

    Fields: ``features`` float16 ``[F, 512]``, and ``latent`` float32 ``[C, H, W]``, the standardised mean.
    Shards that are there already are kept; raises :class:`DatasetError` where they are of other clips or networks.
    """
    clips.require("frames", "log_mel")
    description = clips.description
    weights = {"video_encoder": sha256(video_encoder / WEIGHTS), "autoencoder": sha256(autoencoder / WEIGHTS)}
    describe(folder, {"geometry": description.get("geometry"), "clips": description, "shard": shard_clips, **weights})
    device = device or torch.device("cpu")
    encoder = _Encoder(load_video_encoder(video_encoder).to(device), load_autoencoder(autoencoder).to(device), device)
    fill(folder, len(clips), shard_clips, partial(encoder, clips), batch=_BATCH, done="encoded", report=report)


class _Encoder:
    def __init__(self, video: CompactVideoEncoder, audio: CompactAutoencoder, device: torch.device) -> None:
        self.video, self.audio, self.device = video, audio, device

    @torch.no_grad()
    def __call__(self, clips: Shards, indices: range) -> dict[str, np.ndarray]:
        """Features ``[B, F, 512]`` and latents ``[B, C, H, W]``."""
        pictures = self._read(clips, "frames", indices).permute(0, 1, 4, 2, 3) / 255.0  # [B, F, 3, size, size]
        image = self._read(clips, "log_mel", indices).transpose(1, 2).unsqueeze(1)  # [B, 1, bins, frames]
        features, latents = self.video(pictures), self.audio.encode(image)
        return {"features": features.cpu().numpy().astype(np.float16), "latent": latents.cpu().numpy()}

    def _read(self, clips: Shards, field: str, indices: range) -> Tensor:
        return torch.from_numpy(clips.batch(field, indices)).to(self.device).float()
