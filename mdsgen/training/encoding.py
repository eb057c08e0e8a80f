"""From clips to what the denoiser learns from: the features of their pictures and the latents of their spectrograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.report import Interim, Pace, Report
from mdsgen.training.clips import SHARD_CLIPS
from mdsgen.training.shards import Shards, describe, sha256, shard_path, write_shard
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_video_encoder


def encode_clips(
    clips: Shards,
    folder: Path,
    video_encoder: Path,
    autoencoder: Path,
    *,
    device: torch.device | None = None,
    batch: int = 16,
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
    starts = range(0, len(clips), shard_clips)
    pace = Pace(sum(shard_path(folder, number).exists() for number in range(len(starts))))
    for number, start in enumerate(starts):
        if shard_path(folder, number).exists():
            continue
        end = min(start + shard_clips, len(clips))
        parts = [encoder(clips, range(i, min(i + batch, end))) for i in range(start, end, batch)]
        features, latents = (np.concatenate(part) for part in zip(*parts, strict=True))
        write_shard(folder, number, {"features": features, "latent": latents})
        report(Interim(f"{number + 1} of {len(starts)} shards encoded  {pace.left(number + 1, len(starts))}".rstrip()))


class _Encoder:
    def __init__(self, video: CompactVideoEncoder, audio: CompactAutoencoder, device: torch.device) -> None:
        self.video, self.audio, self.device = video, audio, device

    @torch.no_grad()
    def __call__(self, clips: Shards, indices: range) -> tuple[np.ndarray, np.ndarray]:
        """Features ``[B, F, 512]`` and latents ``[B, C, H, W]``."""
        pictures = self._read(clips, "frames", indices).permute(0, 1, 4, 2, 3) / 255.0  # [B, F, 3, 56, 56]
        image = self._read(clips, "log_mel", indices).transpose(1, 2).unsqueeze(1)  # [B, 1, bins, frames]
        features, latents = self.video.features(pictures), self.audio.encode(image)
        return features.cpu().numpy().astype(np.float16), latents.cpu().numpy()

    def _read(self, clips: Shards, field: str, indices: range) -> Tensor:
        return torch.from_numpy(clips.batch(field, indices)).to(self.device).float()
