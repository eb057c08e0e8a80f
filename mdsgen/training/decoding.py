"""Spectrograms as a vocoder meets them in the finished model: decoded from latents, true ones and generated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdsgen.errors import DatasetError
from mdsgen.runtime.sampler import seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.training.denoising import sample_latents
from mdsgen.training.recipe import Decoding
from mdsgen.training.shards import Derivation, Shards, sha256
from mdsgen.training.stage import floats
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_denoiser, read_training

RECONSTRUCTED, GENERATED = "reconstructed", "generated"
"""Fields of the dataset: spectrograms float16 ``[frames, bins]`` of the clips' own latents, and of generated ones."""

_BATCH = 8  # clips that go through the networks together


def decoded(clips: Shards, latents: Shards, work: Path, decoding: Decoding, device: torch.device) -> Derivation:
    """The latents of the first clips decoded, and those that the denoiser makes for their features.

    Both by the networks that were trained in ``work``. Fields: the clips' ``sound`` and ``log_mel``, and
    :data:`RECONSTRUCTED` and :data:`GENERATED`; the noise of a clip is seeded by its number. Raises
    :class:`DatasetError` where clips and latents are not of the same scenes.
    """
    clips.require("sound", "log_mel")
    latents.require("features", "latent")
    if len(clips) != len(latents):
        raise DatasetError(f"{latents.folder} holds {len(latents)} latents of {len(clips)} clips: encode them anew")
    weights = {stage: sha256(work / stage / WEIGHTS) for stage in ("autoencoder", "denoiser")}
    autoencoder = load_autoencoder(work / "autoencoder").to(device)
    denoiser = load_denoiser(work / "denoiser").to(device)
    schedule = read_training(work / "denoiser" / WEIGHTS).section.config.schedule
    sampling = Sampling(decoding.steps, decoding.guidance, clean_limit=decoding.clean_limit)

    def spectrograms(latent: Tensor) -> np.ndarray:
        """``[B, C, H, W] -> [B, frames, bins]``."""
        return autoencoder.decode(latent).squeeze(1).transpose(1, 2).cpu().numpy().astype(np.float16)

    @torch.no_grad()
    def decode(indices: range) -> dict[str, np.ndarray]:
        latent, features = (floats(latents, field, indices, device) for field in ("latent", "features"))
        noise = np.concatenate([seeded_noise(denoiser.geometry, index) for index in indices])
        generated = torch.from_numpy(sample_latents(denoiser, features, noise, sampling, schedule)).to(device)
        own = {name: clips.batch(name, indices) for name in ("sound", "log_mel")}
        return {**own, RECONSTRUCTED: spectrograms(latent), GENERATED: spectrograms(generated)}

    count = min(decoding.clips, len(clips))
    return Derivation(clips, count, {**vars(decoding), **weights}, decode, _BATCH, "decoded")
