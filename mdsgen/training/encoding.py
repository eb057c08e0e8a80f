"""From clips to what the denoiser learns from: the features of their pictures and the latents of their spectrograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mdsgen.training.shards import Derivation, Shards, sha256
from mdsgen.training.stage import floats
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_video_encoder

_BATCH = 16  # clips that go through the networks together


def encoded(clips: Shards, work: Path, device: torch.device) -> Derivation:
    """Every clip of a dataset encoded by the networks that were trained in ``work``, in the same order.

    Fields: ``features`` float16 ``[F, 512]``, and ``latent`` float16 ``[C, H, W]``, the standardised mean.
    """
    clips.require("frames", "log_mel")
    weights = {stage: sha256(work / stage / WEIGHTS) for stage in ("video_encoder", "autoencoder")}
    video = load_video_encoder(work / "video_encoder").to(device)
    audio = load_autoencoder(work / "autoencoder").to(device)

    @torch.no_grad()
    def encode(indices: range) -> dict[str, np.ndarray]:
        pictures = floats(clips, "frames", indices, device).permute(0, 1, 4, 2, 3) / 255.0  # [B, F, 3, size, size]
        image = floats(clips, "log_mel", indices, device).transpose(1, 2).unsqueeze(1)  # [B, 1, bins, frames]
        fields = {"features": video(pictures), "latent": audio.encode(image)}  # [B, F, 512], [B, C, H, W]
        return {name: values.cpu().numpy().astype(np.float16) for name, values in fields.items()}

    return Derivation(clips, len(clips), weights, encode, _BATCH, "encoded")
