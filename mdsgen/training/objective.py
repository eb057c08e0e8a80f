"""What the denoiser is trained to minimise.

For every clip, at a random timestep: the squared error of the estimated noise or velocity, and the variational bound,
which trains the variance half of the output and nothing else. Both are taken over all tokens and once more with part of
the time columns masked, as in MDT (Gao et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from mdsgen.geometry import Geometry
from mdsgen.model.denoiser import Denoiser
from mdsgen.model.masking import Mask, sample_mask
from mdsgen.training.beginnings import Beginnings, draw_beginnings
from mdsgen.training.diffusion import TIMESTEPS, Diffusion, mean_where


class Losses(NamedTuple):
    """Means over the batch. ``total`` is what to minimise; the others are its parts, before weighting."""

    total: Tensor
    error: Tensor
    variational: Tensor
    masked_error: Tensor
    masked_variational: Tensor


@dataclass(frozen=True)
class Draw:
    """What chance decides in a training step: ``timestep [B]``, ``noise [B, C, H, W]``, ``drop [B]``: whose video is
    withheld, the mask of the masked pass, if there is one, and how the clips begin, if any may be known."""

    timestep: Tensor
    noise: Tensor
    drop: Tensor
    mask: Mask | None
    beginnings: Beginnings | None = None


@dataclass(frozen=True)
class Objective:
    """The training loss and its choices; the defaults are MDT's and MDSGen's.

    ``mask_ratio`` of the time columns are dropped in the masked pass. ``condition_dropout`` of the clips are trained
    without video, which guidance needs. ``variational_weight`` scales the bound. ``min_snr_gamma`` weighs the squared
    error of noise by ``min(snr, gamma) / snr``, so that the many nearly clean timesteps do not dominate (Hang et al.,
    "Efficient diffusion training via min-SNR weighting", 2023); ``None`` weighs all timesteps alike, as errors of
    velocity always are. ``timesteps`` is how they are drawn (see :meth:`Diffusion.sample_timesteps`). ``known_share``
    of the clips begin with columns that are known, with noise of up to ``known_noise``: see
    :mod:`mdsgen.training.beginnings`.
    """

    mask_ratio: float = 0.3
    condition_dropout: float = 0.1
    variational_weight: float = 1.0
    min_snr_gamma: float | None = 5.0
    known_share: float = 0.0
    known_noise: float = 0.1
    timesteps: str = "uniform"
    diffusion: Diffusion = field(default_factory=Diffusion)

    def __post_init__(self) -> None:
        if not 0.0 <= self.mask_ratio < 1.0:
            raise ValueError(f"mask ratio must be at least 0 and below 1, not {self.mask_ratio}")
        if not 0.0 <= self.condition_dropout <= 1.0:
            raise ValueError(f"condition dropout must be between 0 and 1, not {self.condition_dropout}")
        if self.variational_weight < 0.0:
            raise ValueError(f"variational weight must not be negative, but is {self.variational_weight}")
        if self.min_snr_gamma is not None and self.min_snr_gamma <= 0.0:
            raise ValueError(f"min-SNR gamma must be positive or None, not {self.min_snr_gamma}")
        if not 0.0 <= self.known_share <= 1.0:
            raise ValueError(f"known share must be between 0 and 1, not {self.known_share}")
        if not 0.0 <= self.known_noise < 1.0:
            raise ValueError(f"known noise must be at least 0 and below 1, not {self.known_noise}")
        if self.timesteps not in TIMESTEPS:
            raise ValueError(f"timesteps must be one of {', '.join(TIMESTEPS)}, not {self.timesteps!r}")

    def draw(self, geometry: Geometry, batch: int, generator: torch.Generator) -> Draw:
        """What chance decides for a batch of so many clips."""
        device = generator.device
        timestep = self.diffusion.sample_timesteps(batch, generator, self.timesteps)  # [B]
        noise = torch.randn(batch, *geometry.latent_shape, generator=generator, device=device)
        drop = torch.rand(batch, generator=generator, device=device) < self.condition_dropout  # [B]
        mask = sample_mask(geometry, batch, self.mask_ratio, generator)
        return Draw(timestep, noise, drop, mask, self.draw_beginnings(geometry, batch, generator))

    def draw_beginnings(self, geometry: Geometry, batch: int, generator: torch.Generator) -> Beginnings | None:
        """How the clips of a batch begin; nothing is drawn where none is ever known."""
        if not self.known_share:
            return None
        return draw_beginnings(geometry, batch, self.known_share, self.known_noise, generator)

    def losses(self, denoiser: Denoiser, latent: Tensor, features: Tensor, draw: Draw) -> Losses:
        """The losses of one batch: ``latent [B, C, H, W]`` (scaled), ``features [B, 32, 512]``.

        Both passes see the same noise, timesteps and dropped conditions, so that what differs between them is the mask.
        Without a mask there is no masked pass, and its losses are 0. Where a latent is known its losses are 0 as well.
        """
        noise, timestep, beginnings = draw.noise.to(latent), draw.timestep, draw.beginnings
        noisy = self.diffusion.add_noise(latent, timestep, noise)  # [B, C, H, W]
        goal = self.diffusion.goal(latent, timestep, noise)  # [B, C, H, W]
        counts: Tensor | None = None
        marked: dict[str, Tensor] = {}
        seen = noisy
        if beginnings is not None:
            seen = beginnings.given(denoiser.geometry, noisy, latent, noise)
            counts = (~beginnings.known(denoiser.geometry)).to(latent)  # [B, 1, H, 1] or [B, 1, 1, W]
            marked = {"known": beginnings.columns}

        def terms(mask: Mask | None) -> tuple[Tensor, Tensor]:
            output = denoiser(
                seen, timestep.to(latent), features, mask=mask, drop_condition=draw.drop, **marked
            )  # [B, 2C, H, W]
            estimate, variance = output.to(latent).chunk(2, dim=1)  # [B, C, H, W] each
            error = mean_where(counts, (estimate - goal).square()) * self.weight(timestep)  # [B]
            # Detached: the bound is too noisy to train the estimate (Nichol & Dhariwal, section 3.1).
            found = self.diffusion.noise_of(estimate.detach(), noisy, timestep)
            bound = self.diffusion.variational_bound(latent, noisy, timestep, found, variance, counts)
            return error.mean(), bound.mean()

        nothing = latent.new_zeros(())
        parts = (*terms(None), *(terms(draw.mask) if draw.mask is not None else (nothing, nothing)))
        total = parts[0] + parts[2] + self.variational_weight * (parts[1] + parts[3])
        return Losses(total, *parts)

    def weight(self, timestep: Tensor) -> Tensor:
        """How much the squared error counts at each timestep, ``[B] -> [B]``."""
        snr = self.diffusion.signal_to_noise(timestep)
        if self.min_snr_gamma is None or self.diffusion.schedule.target == "velocity":
            return torch.ones_like(snr)
        return (self.min_snr_gamma / snr).clamp(max=1.0)
