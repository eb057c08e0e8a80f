"""The diffusion that the denoiser is trained to undo, and the variational bound on how well it does.

Ho et al., "Denoising diffusion probabilistic models" (2020) for the process, with its linear betas; Nichol & Dhariwal,
"Improved denoising diffusion probabilistic models" (2021) for the learned variance and its bound. Timesteps count from
0, which is one step of noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mdsgen.schedule import NoiseSchedule

TIMESTEPS = ("uniform", "logit-normal")
"""How timesteps may be drawn."""

_LEAST_PROBABILITY = 1e-12  # a bin far from the mean has probability 0 in floating point, and its logarithm no bound
_HALF_BIN = 1.0 / 255.0
_OUTERMOST_BIN = 0.999


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions, one per element of a latent."""

    mean: Tensor
    log_variance: Tensor


@dataclass(frozen=True)
class Diffusion:
    """A latent at timestep ``t`` is ``sqrt(alpha_bar[t]) · clean + sqrt(1 - alpha_bar[t]) · noise``.

    Tables are float64 and looked up in the dtype of what they meet.
    """

    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)

    @cached_property
    def beta(self) -> Tensor:
        """Variance that each step adds, ``[steps]``."""
        return torch.from_numpy(self.schedule.betas())

    @cached_property
    def alpha_bar(self) -> Tensor:
        """Share of the clean latent's variance that is left after each step, ``[steps]``."""
        return (1.0 - self.beta).cumprod(dim=0)

    @cached_property
    def _alpha_bar_before(self) -> Tensor:
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bar[:-1]])

    @cached_property
    def _posterior_log_variance(self) -> Tensor:
        """log of beta_tilde. It is 0 at the first step, whose logarithm does not exist: the second's stands in."""
        variance = self.beta * (1.0 - self._alpha_bar_before) / (1.0 - self.alpha_bar)
        return torch.cat([variance[1:2], variance[1:]]).log()

    def sample_timesteps(self, batch: int, generator: torch.Generator, drawn: str = "uniform") -> Tensor:
        """``[batch]`` int64 on the generator's device: ``"uniform"``, as MDT and MDSGen do, or ``"logit-normal"``.

        That is by how much noise there is: the logit of ``sigma / (alpha + sigma)`` is normal, with deviation 1 around
        0 (Esser et al., "Scaling rectified flow transformers", 2024), so that neither the nearly clean nor the nearly
        lost are met often.
        """
        if drawn == "uniform":
            return torch.randint(self.schedule.train_steps, (batch,), generator=generator, device=generator.device)
        logit = torch.randn(batch, generator=generator, device=generator.device)  # of the share of noise
        return torch.searchsorted(self._noise_logit.to(logit), logit).clamp(max=self.schedule.train_steps - 1)

    @cached_property
    def _noise_logit(self) -> Tensor:
        """logit of ``sigma / (alpha + sigma)``, which is ``log(sigma / alpha)`` and rises, ``[steps]``."""
        return 0.5 * ((1.0 - self.alpha_bar) / self.alpha_bar).log()

    def goal(self, latent: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """What the denoiser is to find when ``noise`` has been added to ``latent [B, C, H, W]``."""
        if self.schedule.target == "noise":
            return noise
        keep, lose = self._levels(timestep, latent)
        return keep * noise - lose * latent

    def noise_of(self, estimate: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """The noise in ``noisy [B, C, H, W]``, if the denoiser's ``estimate`` is right."""
        if self.schedule.target == "noise":
            return estimate
        keep, lose = self._levels(timestep, noisy)
        return keep * estimate + lose * noisy

    def signal_to_noise(self, timestep: Tensor) -> Tensor:
        """Ratio of the clean latent's variance to the noise's at each timestep, ``[B] -> [B]``, float32."""
        alpha_bar = self.alpha_bar.to(timestep.device)[timestep]
        return (alpha_bar / (1.0 - alpha_bar)).float()

    def add_noise(self, latent: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """The latent as the denoiser meets it at ``timestep [B]``, ``[B, C, H, W]``."""
        keep, lose = self._levels(timestep, latent)  # [B, 1, 1, 1] each
        return keep * latent + lose * noise

    def remove_noise(self, noisy: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """The clean latent, if ``noise`` is what was added: the inverse of :meth:`add_noise`."""
        keep, lose = self._levels(timestep, noisy)  # [B, 1, 1, 1] each
        return (noisy - lose * noise) / keep

    def _levels(self, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """How much clean latent and how much noise there is in each clip, ready to meet ``like``, ``[B, 1, 1, 1]``."""
        return _at(self.alpha_bar.sqrt(), timestep, like), _at((1.0 - self.alpha_bar).sqrt(), timestep, like)

    def posterior(self, latent: Tensor, noisy: Tensor, timestep: Tensor) -> Gaussian:
        """What one step earlier looked like, given the clean latent and the noisy one (Ho et al., equation 7)."""
        from_clean = self.beta * self._alpha_bar_before.sqrt() / (1.0 - self.alpha_bar)
        from_noisy = (1.0 - self._alpha_bar_before) * (1.0 - self.beta).sqrt() / (1.0 - self.alpha_bar)
        mean = _at(from_clean, timestep, noisy) * latent + _at(from_noisy, timestep, noisy) * noisy
        return Gaussian(mean, _at(self._posterior_log_variance, timestep, noisy).expand_as(mean))

    def estimate(self, noisy: Tensor, timestep: Tensor, noise: Tensor, variance: Tensor) -> Gaussian:
        """What one step earlier looked like, as the denoiser's two outputs say.

        ``variance`` -1 means beta_tilde and +1 beta, the two extremes that the true variance lies between; others are
        interpolated on a log scale (Nichol & Dhariwal, equation 15).
        """
        low = _at(self._posterior_log_variance, timestep, noisy)  # [B, 1, 1, 1]
        high = _at(self.beta.log(), timestep, noisy)
        share = (variance + 1.0) / 2.0
        mean = self.posterior(self.remove_noise(noisy, timestep, noise), noisy, timestep).mean
        return Gaussian(mean, share * high + (1.0 - share) * low)

    def variational_bound(
        self,
        latent: Tensor,
        noisy: Tensor,
        timestep: Tensor,
        noise: Tensor,
        variance: Tensor,
        counts: Tensor | None = None,
    ) -> Tensor:
        """One term of the bound on the negative log-likelihood, in bits per dimension, ``[B]``.

        The divergence between true and estimated step; at timestep 0, where no earlier step exists, how unlikely the
        clean latent is under the estimate. ``noise`` and ``variance`` are the denoiser's two outputs, ``counts`` as in
        :func:`mean_where`.
        """
        estimate = self.estimate(noisy, timestep, noise, variance)
        divergence = kl_divergence(self.posterior(latent, noisy, timestep), estimate)  # [B, C, H, W]
        surprise = -bin_log_likelihood(latent, estimate)
        nats = torch.where(timestep == 0, mean_where(counts, surprise), mean_where(counts, divergence))  # [B]
        return nats / math.log(2.0)


def mean_where(counts: Tensor | None, values: Tensor) -> Tensor:
    """The mean of each clip, ``[B, C, H, W] -> [B]``, over all of it, with 0 in the places that do not count.

    ``counts`` is 1 or 0 and broadcasts to the values; None counts all of them. So every value of a batch that counts
    has the same weight.
    """
    return (values if counts is None else values * counts).mean(dim=(1, 2, 3))


def kl_divergence(true: Gaussian, estimate: Gaussian) -> Tensor:
    """What it costs, in nats per element, to take ``estimate`` for ``true``."""
    spread = true.log_variance - estimate.log_variance
    distance = (true.mean - estimate.mean) ** 2 * torch.exp(-estimate.log_variance)
    return 0.5 * (spread.exp() - spread - 1.0 + distance)


def bin_log_likelihood(x: Tensor, distribution: Gaussian) -> Tensor:
    """Log-probability, per element, of the bin that ``x`` lies in: -1..1 in 256 bins, the outermost two open-ended.

    The bins are those of 8-bit pictures. A latent has none, but this is the likelihood that MDT and MDSGen train with.
    """
    scale = torch.exp(-0.5 * distribution.log_variance)
    centred = x - distribution.mean
    below_upper = _normal_cdf(scale * (centred + _HALF_BIN))
    below_lower = _normal_cdf(scale * (centred - _HALF_BIN))
    inside = torch.where(x > _OUTERMOST_BIN, 1.0 - below_lower, below_upper - below_lower)
    inside = torch.where(x < -_OUTERMOST_BIN, below_upper, inside)
    return inside.clamp(min=_LEAST_PROBABILITY).log()


def _normal_cdf(x: Tensor) -> Tensor:
    """The tanh approximation of the normal distribution function, because the published code has it."""
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _at(table: Tensor, timestep: Tensor, like: Tensor) -> Tensor:
    """The table's value for each clip, ready to meet ``like [B, C, H, W]``: ``[B, 1, 1, 1]``."""
    return table.to(timestep.device)[timestep].to(like)[:, None, None, None]
