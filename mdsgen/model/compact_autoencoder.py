"""The compact autoencoder: a log-mel spectrogram and a latent an eighth as long and as high.

Nearly all of its work is done at the latent's own resolution: patches of 4×4 go in and come out by rearranging values,
so that no convolution ever sees the whole spectrogram. The decoder has 1.3 M parameters, a fortieth of the Stable
Diffusion decoder's that the paper uses, for the same shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PATCH = 4  # values that one position holds along each axis where convolutions begin and end
COMPRESSION = 2 * _PATCH
"""How many times shorter and lower a latent is."""


class CompactAutoencoder(nn.Module):
    """Spectrograms ``[B, 1, bins, frames]`` to latents ``[B, 4, bins/8, frames/8]`` and back, for any number of frames.

    Latents are standardised: zero mean and unit variance per channel over the training data, once
    :meth:`standardise` has been told what these are.
    """

    latent_mean: Tensor
    latent_deviation: Tensor

    def __init__(self, channels: int = 4, bins: int = 128, width: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(_PATCH),  # [B, 16, bins/4, frames/4]
            nn.Conv2d(_PATCH**2, width // 2, kernel_size=3, padding=1),
            _Residual(width // 2),
            nn.Conv2d(width // 2, width, kernel_size=4, stride=2, padding=1),  # [B, D, bins/8, frames/8]
            _Pitch(width, bins // COMPRESSION),
            _Residual(width),
            _Residual(width),
        )
        self.to_latent = nn.Conv2d(width, 2 * channels, kernel_size=1)  # mean and log-variance
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, padding=1),  # [B, D, bins/8, frames/8]
            _Pitch(width, bins // COMPRESSION),
            _Residual(width),
            _Residual(width),
            _Residual(width),
            nn.Conv2d(width, 4 * (width // 2), kernel_size=3, padding=1),
            nn.PixelShuffle(2),  # [B, D/2, bins/4, frames/4]
            _Residual(width // 2),
            nn.Conv2d(width // 2, _PATCH**2, kernel_size=3, padding=1),
            nn.PixelShuffle(_PATCH),  # [B, 1, bins, frames]
        )
        self.register_buffer("latent_mean", torch.zeros(channels, 1, 1))
        self.register_buffer("latent_deviation", torch.ones(channels, 1, 1))

    def posterior(self, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent before it is standardised, ``[B, 4, bins/8, frames/8]`` each."""
        mean, log_variance = self.to_latent(self.encoder(2.0 * spectrogram - 1.0)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 4.0)

    def reconstruct(self, latent: Tensor) -> Tensor:
        """The spectrogram of a latent that is not standardised."""
        return 0.5 * self.decoder(latent) + 0.5  # type: ignore[no-any-return]

    def encode(self, spectrogram: Tensor) -> Tensor:
        """The standardised latent, ``[B, 1, bins, frames] -> [B, 4, bins/8, frames/8]``."""
        return (self.posterior(spectrogram)[0] - self.latent_mean) / self.latent_deviation

    def decode(self, latent: Tensor) -> Tensor:
        """The spectrogram of a standardised latent, ``[B, 4, bins/8, frames/8] -> [B, 1, bins, frames]``."""
        return self.reconstruct(latent * self.latent_deviation + self.latent_mean)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Fix mean and standard deviation of each latent channel, ``[4]`` each."""
        self.latent_mean.copy_(mean[:, None, None])
        self.latent_deviation.copy_(deviation[:, None, None])


class _Pitch(nn.Module):
    """A learned value for every channel at every height: convolutions alone do not know high from low."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width, rows, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class _Residual(nn.Module):
    """Two convolutions beside a short cut, ``[B, D, H, W] -> [B, D, H, W]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)
        nn.init.zeros_(self.second.weight)  # the identity at first, so that depth does not blow values up
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + change
