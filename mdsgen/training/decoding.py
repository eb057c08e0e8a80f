"""Spectrograms as a vocoder meets them in the finished model: decoded from latents, true ones and generated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdsgen.errors import DatasetError
from mdsgen.report import Report
from mdsgen.runtime.sampler import seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.clips import SHARD_CLIPS
from mdsgen.training.denoising import sample_latents
from mdsgen.training.recipe import Decoding
from mdsgen.training.shards import Shards, describe, fill, sha256
from mdsgen.training.trained import WEIGHTS, load_autoencoder, load_denoiser, read_training

RECONSTRUCTED, GENERATED = "reconstructed", "generated"
"""Fields of the dataset: spectrograms float16 ``[frames, bins]`` of the clips' own latents, and of generated ones."""

_BATCH = 8  # clips that go through the networks together


def decode_latents(
    clips: Shards,
    latents: Shards,
    folder: Path,
    work: Path,
    decoding: Decoding,
    *,
    device: torch.device | None = None,
    shard_clips: int = SHARD_CLIPS,
    report: Report = lambda line: None,
) -> None:
    """Decode the latents of the first clips, and those that the denoiser makes for their features.

    Both by the networks that were trained in ``work``. Fields: the clips' ``sound`` and ``log_mel``, and
    :data:`RECONSTRUCTED` and :data:`GENERATED`. Shards that are there already are kept; raises :class:`DatasetError`
    where they are of other clips or networks, and where clips and latents are not of the same scenes.
    """
    clips.require("sound", "log_mel")
    latents.require("features", "latent")
    if len(clips) != len(latents):
        raise DatasetError(f"{latents.folder} holds {len(latents)} latents of {len(clips)} clips: encode them anew")
    weights = {stage: sha256(work / stage / WEIGHTS) for stage in ("autoencoder", "denoiser")}
    description = clips.description
    made_from = {"geometry": description.get("geometry"), "clips": description, "shard": shard_clips}
    describe(folder, {**made_from, **vars(decoding), **weights})
    decoder = _Decoder(work, decoding, device or torch.device("cpu"))

    def make(indices: range) -> dict[str, np.ndarray]:
        return {name: clips.batch(name, indices) for name in ("sound", "log_mel")} | decoder(latents, indices)

    fill(folder, min(decoding.clips, len(clips)), shard_clips, make, batch=_BATCH, done="decoded", report=report)


class _Decoder:
    """The networks that were trained in a folder, on a device."""

    def __init__(self, work: Path, decoding: Decoding, device: torch.device) -> None:
        self.autoencoder = load_autoencoder(work / "autoencoder").to(device)
        self.denoiser = load_denoiser(work / "denoiser").to(device)
        self.schedule: NoiseSchedule = read_training(work / "denoiser" / WEIGHTS).section.config.schedule
        self.sampling = Sampling(decoding.steps, decoding.guidance, clean_limit=decoding.clean_limit)
        self.device = device

    @torch.no_grad()
    def __call__(self, latents: Shards, indices: range) -> dict[str, np.ndarray]:
        """Both kinds of spectrograms, ``[B, frames, bins]``; the noise of a clip is seeded by its number."""
        latent = torch.from_numpy(latents.batch("latent", indices)).to(self.device).float()
        features = torch.from_numpy(latents.batch("features", indices)).to(self.device).float()
        noise = np.concatenate([seeded_noise(self.denoiser.geometry, index) for index in indices])
        generated = sample_latents(self.denoiser, features, noise, self.sampling, self.schedule)
        return {
            RECONSTRUCTED: self._decode(latent),
            GENERATED: self._decode(torch.from_numpy(generated).to(self.device)),
        }

    def _decode(self, latent: Tensor) -> np.ndarray:
        spectrogram = self.autoencoder.decode(latent).squeeze(1).transpose(1, 2)  # [B, frames, bins]
        return spectrogram.cpu().numpy().astype(np.float16)
