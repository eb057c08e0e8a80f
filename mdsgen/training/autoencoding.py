"""Training the compact autoencoder: a spectrogram must survive the way through its latent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdsgen.geometry import Geometry
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, check_crop, choose, floats, generator_from

_STANDARDISED_OVER = 512  # clips


@dataclass(frozen=True)
class AutoencoderConfig:
    """Width of the compact autoencoder, spectrogram frames per training crop, and the weight of the divergence."""

    width: int = 128
    crop: int = 128
    divergence_weight: float = 1e-3


class AutoencoderStage(Stage):
    """Absolute and squared error of the spectrogram, and a little Kullback–Leibler divergence of the latent."""

    name = "autoencoder"
    fields = ("log_mel",)

    def __init__(self, geometry: Geometry, config: AutoencoderConfig) -> None:
        super().__init__()
        check_crop(config.crop, geometry)
        if config.crop % geometry.compression:
            raise ValueError(f"a crop of {config.crop} frames is not a multiple of {geometry.compression}")
        self.geometry, self.config = geometry, config
        self.autoencoder = CompactAutoencoder(geometry.channels, geometry.mel.bins, config.width)

    @property
    def network(self) -> CompactAutoencoder:
        return self.autoencoder

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """``log_mel [B, crop, bins]`` and the ``noise`` of the latent."""
        indices = choose(clips, size, rng)
        crop, compression = self.config.crop, self.geometry.compression
        starts = rng.integers((self.geometry.mel_frames - crop) // compression + 1, size=size) * compression
        crops = [clips.clip("log_mel", i)[start : start + crop] for i, start in zip(indices, starts, strict=True)]
        shape = (size, self.geometry.channels, self.geometry.latent_bins, crop // compression)
        noise = torch.randn(shape, generator=generator_from(rng))
        return {"log_mel": torch.from_numpy(np.stack(crops)).float(), "noise": noise}

    def forward(self, log_mel: Tensor, noise: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        image = log_mel.transpose(1, 2).unsqueeze(1)  # [B, 1, bins, crop]
        mean, log_variance = (half.float() for half in self.autoencoder.posterior(image))  # [B, C, h, w] each
        back = self.autoencoder.reconstruct(mean + (0.5 * log_variance).exp() * noise).float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        absolute, squared = F.l1_loss(back, image), F.mse_loss(back, image)
        loss = absolute + 4.0 * squared + self.config.divergence_weight * divergence
        # The unit of "unit_db" is 100 dB.
        return {LOSS: loss, "decibels": 100.0 * absolute, "divergence": divergence}

    @torch.no_grad()
    def finish(self, clips: Shards) -> None:
        """Measure what the latents' mean and deviation are."""
        device = self.autoencoder.latent_mean.device
        latents = []
        for index in range(min(len(clips), _STANDARDISED_OVER)):
            log_mel = floats(clips, "log_mel", [index], device)
            latents.append(self.autoencoder.posterior(log_mel.transpose(1, 2).unsqueeze(1))[0])
        deviation, mean = torch.std_mean(torch.cat(latents), dim=(0, 2, 3))
        self.autoencoder.standardise(mean, deviation)

    @torch.no_grad()
    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray:
        """Spectrograms above what came back of them."""
        device = self.autoencoder.latent_mean.device
        image = floats(clips, "log_mel", indices, device).transpose(1, 2).unsqueeze(1)
        back = self.autoencoder.reconstruct(self.autoencoder.posterior(image)[0])
        rows = torch.cat([image.flip(2), back.flip(2)], dim=2)  # [B, 1, 2·bins, frames], low tones below
        return rows.squeeze(1).flatten(0, 1).cpu().numpy()
