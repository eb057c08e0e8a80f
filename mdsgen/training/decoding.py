"""Spectrograms as a vocoder meets them in the finished model: decoded from latents, true ones and generated ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdsgen.errors import DatasetError
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.denoiser import Denoiser
from mdsgen.runtime.sampler import Network, sample, seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.clips import SHARD_CLIPS
from mdsgen.training.recipe import Decoding
from mdsgen.training.shards import Shards, describe, sha256, shard_path, write_shard
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_denoiser, read_training

RECONSTRUCTED, GENERATED = "reconstructed", "generated"
"""Fields of the dataset: spectrograms float16 ``[frames, bins]`` of the clips' own latents, and of generated ones."""


def decode_latents(
    clips: Shards,
    latents: Shards,
    folder: Path,
    autoencoder: Path,
    denoiser: Path,
    decoding: Decoding,
    *,
    device: torch.device | None = None,
    batch: int = 8,
    shard_clips: int = SHARD_CLIPS,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Decode the latents of the first clips, and those that the denoiser makes for their features.

    Fields: the clips' ``sound`` and ``log_mel``, and :data:`RECONSTRUCTED` and :data:`GENERATED`. Shards that are there
    already are kept; raises :class:`DatasetError` where they are of other clips or networks, and where clips and
    latents are not of the same scenes.
    """
    clips.require("sound", "log_mel")
    latents.require("features", "latent")
    if len(clips) != len(latents):
        raise DatasetError(f"{latents.folder} holds {len(latents)} latents of {len(clips)} clips: encode them anew")
    weights = {"autoencoder": sha256(autoencoder / WEIGHTS), "denoiser": sha256(denoiser / WEIGHTS)}
    description = clips.description
    made_from = {"geometry": description.get("geometry"), "clips": description, "shard": shard_clips}
    describe(folder, {**made_from, **vars(decoding), **weights})
    device = device or torch.device("cpu")
    networks = load_autoencoder(autoencoder).to(device), load_denoiser(denoiser).to(device)
    schedule: NoiseSchedule = read_training(denoiser / WEIGHTS).section.config.schedule
    sampling = Sampling(decoding.steps, decoding.guidance, clean_limit=decoding.clean_limit)
    decoder = _Decoder(*networks, partial(sample, sampling=sampling, schedule=schedule), device)
    count = min(decoding.clips, len(clips))
    starts = range(0, count, shard_clips)
    for number, start in enumerate(starts):
        if shard_path(folder, number).exists():
            continue
        end = min(start + shard_clips, count)
        parts = [decoder(latents, range(i, min(i + batch, end))) for i in range(start, end, batch)]
        own = {name: clips.batch(name, range(start, end)) for name in ("sound", "log_mel")}
        made = {name: np.concatenate([part[name] for part in parts]) for name in (RECONSTRUCTED, GENERATED)}
        write_shard(folder, number, own | made)
        report(f"{number + 1} of {len(starts)} shards decoded")


class _Decoder:
    def __init__(
        self,
        autoencoder: CompactAutoencoder,
        denoiser: Denoiser,
        sampler: Callable[[Network, np.ndarray], np.ndarray],
        device: torch.device,
    ) -> None:
        self.autoencoder, self.denoiser, self.sampler, self.device = autoencoder, denoiser, sampler, device

    @torch.no_grad()
    def __call__(self, latents: Shards, indices: range) -> dict[str, np.ndarray]:
        """Both kinds of spectrograms, ``[B, frames, bins]``; the noise of a clip is seeded by its number."""
        latent = torch.from_numpy(latents.batch("latent", indices)).to(self.device).float()
        features = torch.from_numpy(latents.batch("features", indices)).to(self.device).float()
        noise = np.concatenate([seeded_noise(self.denoiser.geometry, index) for index in indices])
        generated = torch.from_numpy(self._sample(noise, features)).to(self.device)
        return {RECONSTRUCTED: self._decode(latent), GENERATED: self._decode(generated)}

    def _sample(self, noise: np.ndarray, features: Tensor) -> np.ndarray:
        channels = self.denoiser.geometry.channels

        def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
            x = torch.from_numpy(latent).to(self.device)
            t = torch.full((len(latent),), timestep, device=self.device)
            both = [self.denoiser(x, t, seen)[:, :channels].cpu().numpy() for seen in (features, None)]
            return both[0], both[1]

        return self.sampler(network, noise)

    def _decode(self, latent: Tensor) -> np.ndarray:
        spectrogram = self.autoencoder.decode(latent).squeeze(1).transpose(1, 2)  # [B, frames, bins]
        return spectrogram.cpu().numpy().astype(np.float16)
