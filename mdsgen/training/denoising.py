"""Training the denoiser with its Reducer: noise, or velocity, is to be found in latents, given what the encoder saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mdsgen.geometry import Geometry
from mdsgen.model.denoiser import SIZES, Denoiser
from mdsgen.model.masking import Mask
from mdsgen.runtime.sampler import sample
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.beginnings import Beginnings
from mdsgen.training.diffusion import Diffusion
from mdsgen.training.objective import Draw, Objective
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, choose, floats, generator_from

_PICTURED = Sampling(steps=10, guidance=3.0)
_OF_SCHEDULE = ("beta_start", "beta_end", "noise_steps")
_OF_GOING_ON = ("known_share", "known_noise")
_ONCE_THE_ONLY = {"target": "noise", "timesteps": "uniform"}
_BRIGHTNESS = 8.0  # a picture shows latents of up to half of this many standard deviations from zero


@dataclass(frozen=True)
class DenoiserStageConfig:
    """Size and conditioning of the denoiser, and its loss (see :class:`~mdsgen.training.objective.Objective`).

    ``masked_share`` of the steps take the masked pass as well: MDT and MDSGen take it in all. ``beta_start``,
    ``beta_end`` and ``noise_steps`` are those of the noise schedule, which is part of the model, as the ``target`` is
    that it estimates; ``timesteps`` is how they are drawn, and ``min_snr_gamma`` weighs errors of noise alone.
    ``known_share`` of the clips begin with columns that are known, which teaches a denoiser of ``video = "columns"`` to
    go on.
    """

    size: str = "tiny"
    video: Literal["clip", "columns"] = "clip"
    mask_ratio: float = 0.3
    masked_share: float = 1.0
    condition_dropout: float = 0.1
    variational_weight: float = 1.0
    min_snr_gamma: float = 5.0
    beta_start: float = NoiseSchedule.beta_start
    beta_end: float = NoiseSchedule.beta_end
    noise_steps: int = NoiseSchedule.train_steps
    target: Literal["noise", "velocity"] = "noise"
    timesteps: Literal["uniform", "logit-normal"] = "uniform"
    known_share: float = 0.0
    known_noise: float = 0.1

    def __post_init__(self) -> None:
        _ = self.schedule  # raises for one that cannot be trained with
        if self.known_share and self.video != "columns":
            raise ValueError("known_share needs video = 'columns': only there a column can be marked as known")

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the denoiser is trained with."""
        return NoiseSchedule(self.beta_start, self.beta_end, self.noise_steps, target=self.target)


class DenoiserStage(Stage):
    """The published training of MDSGen's denoiser: Ho's noise, Nichol's variance, MDT's masks, condition dropout."""

    name = "denoiser"
    fields = ("features", "latent")

    def __init__(self, geometry: Geometry, config: DenoiserStageConfig) -> None:
        super().__init__()
        if config.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, not {config.size!r}")
        self.geometry, self.config = geometry, config
        self.denoiser = Denoiser(geometry, replace(SIZES[config.size], video=config.video))
        self.objective = Objective(
            config.mask_ratio,
            config.condition_dropout,
            config.variational_weight,
            config.min_snr_gamma,
            config.known_share,
            config.known_noise,
            config.timesteps,
            Diffusion(config.schedule),
        )

    @property
    def network(self) -> Denoiser:
        return self.denoiser

    def describe(self) -> dict[str, Any]:
        """A training from before there were these choices may go on: the default schedule is not named, nor is what
        is known where nothing ever is, nor the target and the timesteps that once were the only ones."""
        schedule = replace(self.config.schedule, target="noise")
        left_out: tuple[str, ...] = _OF_SCHEDULE if schedule == NoiseSchedule() else ()
        left_out += () if self.config.known_share else _OF_GOING_ON
        left_out += tuple(name for name, value in _ONCE_THE_ONLY.items() if getattr(self.config, name) == value)
        return {name: value for name, value in super().describe().items() if name not in left_out}

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Latents and features, and everything random of the objective."""
        indices = choose(clips, size, rng)
        draw = self.objective.draw(self.geometry, size, generator_from(rng))
        batch = {
            "latent": floats(clips, "latent", indices),  # [B, C, H, W]
            "features": floats(clips, "features", indices),  # [B, F, 512]
            "timestep": draw.timestep,
            "noise": draw.noise,
            "drop": draw.drop,
        }
        if draw.mask is not None and rng.random() < self.config.masked_share:
            batch |= {"keep": draw.mask.keep, "dropped": draw.mask.dropped}
        if draw.beginnings is not None:
            batch |= draw.beginnings.to_batch()
        return batch

    def forward(  # type: ignore[override]
        self,
        latent: Tensor,
        features: Tensor,
        timestep: Tensor,
        noise: Tensor,
        drop: Tensor,
        keep: Tensor | None = None,
        dropped: Tensor | None = None,
        known: Tensor | None = None,
        known_sigma: Tensor | None = None,
    ) -> dict[str, Tensor]:
        mask = None if keep is None or dropped is None else Mask(keep, dropped)
        beginnings = Beginnings.of_batch(known, known_sigma)
        draw = Draw(timestep, noise, drop, mask, beginnings)
        losses = self.objective.losses(self.denoiser, latent, features, draw)
        parts = losses._asdict()
        return {LOSS: parts.pop("total"), **parts}

    @torch.no_grad()
    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray:
        """Latents of real clips above those sampled for their videos, a clip a column, a channel a row."""
        return compared_latents(self.denoiser, clips, indices, _PICTURED, self.config.schedule)


def compared_latents(
    denoiser: Denoiser, clips: Shards, indices: Sequence[int], sampling: Sampling, schedule: NoiseSchedule
) -> np.ndarray:
    """Latents of real clips above those sampled for their videos, as grey values: a clip a column, a channel a row."""
    real = clips.batch("latent", indices).astype(np.float32)  # [B, C, H, W]
    features = floats(clips, "features", indices, denoiser.pos_embed.device)
    noise = np.random.default_rng(0).standard_normal(real.shape, dtype=np.float32)
    made = sample_latents(denoiser, features, noise, sampling, schedule)
    panels = np.concatenate([real, made], axis=1)  # [B, 2C, H, W]
    grey: np.ndarray = panels.transpose(1, 2, 0, 3).reshape(-1, panels.shape[0] * panels.shape[3])
    return grey / _BRIGHTNESS + 0.5


@torch.no_grad()
def sample_latents(
    denoiser: Denoiser, features: Tensor, noise: np.ndarray, sampling: Sampling, schedule: NoiseSchedule
) -> np.ndarray:
    """What the denoiser makes of ``noise [B, C, H, W]`` for ``features [B, F, 512]``, on their device.

    Without guidance its unconditional branch is not computed.
    """

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(latent).to(features.device)
        t = torch.full((len(latent),), timestep, device=features.device)
        branches = (features,) if sampling.guidance == 1.0 else (features, None)
        found = [denoiser(x, t, seen)[:, : latent.shape[1]].cpu().numpy() for seen in branches]
        return found[0], found[-1]

    return sample(network, noise, sampling, schedule)
