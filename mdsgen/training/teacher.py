"""A finished denoiser as the teacher of one that needs no guidance: its guided estimate, along its own trajectories.

Adapter Guidance Distillation (Jensen & Sadat, arXiv 2503.07274): what a student learns from are the latents that
guided sampling really meets. The arithmetic of a step is that of :func:`mdsgen.kernels.guided_step`, in PyTorch and
with coefficients of each clip's own, since clips of one batch may be sampled in different numbers of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdsgen.model.denoiser import Denoiser
from mdsgen.runtime.guidance import guidance_scale
from mdsgen.runtime.solver import plan_steps
from mdsgen.sampling import PURE_NOISE, Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.beginnings import Beginnings


class Step(NamedTuple):
    """One solver step of every clip: numbers ``[B]``; ``older [B, how many the solver looks back further]``."""

    timestep: Tensor
    guidance: Tensor
    next_latent: Tensor
    next_noise: Tensor
    next_previous: Tensor
    clean_latent: Tensor
    clean_noise: Tensor
    older: Tensor


class Plans:
    """The steps of a sampling in several numbers of steps, as tables ``[plans, longest]``; shorter ones repeat their
    last step."""

    def __init__(self, steps: Sequence[int], sampling: Sampling, schedule: NoiseSchedule) -> None:
        self.lengths, self.limit = torch.tensor(steps), sampling.clean_limit
        plans = [plan_steps(replace(sampling, steps=count), schedule) for count in steps]
        padded = [[*plan, *[plan[-1]] * (max(steps) - len(plan))] for plan in plans]
        rows = [[(step.timestep, step.coefficients) for step in plan] for plan in padded]

        def table(of: Callable[..., object]) -> Tensor:
            return torch.tensor([[of(*entry) for entry in row] for row in rows], dtype=torch.float32)

        self._tables = Step(
            timestep=table(lambda t, c: t),
            guidance=table(lambda t, c: c.guidance),
            next_latent=table(lambda t, c: c.next_latent),
            next_noise=table(lambda t, c: c.next_noise),
            next_previous=table(lambda t, c: c.next_previous),
            clean_latent=table(lambda t, c: c.clean_latent),
            clean_noise=table(lambda t, c: c.clean_noise),
            older=table(lambda t, c: list(c.next_older)),
        )
        self.older = self._tables.older.shape[2]

    def step(self, plan: Tensor, index: int) -> Step:
        """Step ``index`` of the plans of every clip, ``plan [B]``."""
        place = min(index, self._tables.timestep.shape[1] - 1)
        return Step(*(values.to(plan.device)[plan, place] for values in self._tables))

    def goes_on(self, plan: Tensor, index: int) -> Tensor:
        """Whether the plans of the clips have a step ``index``, bool ``[B]``."""
        return index < self.lengths.to(plan.device)[plan]


class Solver:
    """The latents ``[B, C, H, W]`` of a batch on their way, and the clean estimates that the solver looks back at."""

    def __init__(self, noise: Tensor, limit: float, older: int) -> None:
        self.latent, self.limit = noise, limit
        self._clean = [torch.zeros_like(noise) for _ in range(1 + older)]  # the last one first

    def estimate_to(self, target: Tensor, step: Step) -> Tensor:
        """The estimate with which a step would lead to ``target``, were there no limit to clean estimates."""
        rest = target - self.latent * _each(step.next_latent)
        for before, weight in zip(self._clean, [step.next_previous, *step.older.unbind(1)], strict=True):
            rest = rest - before * _each(weight)
        return rest / _each(step.next_noise)

    def advance(self, estimate: Tensor, step: Step, known: Tensor | None, clean: Tensor) -> None:
        """Take a step with this estimate of noise or velocity. Where a latent is ``known``, ``clean`` is what it is."""
        weights = [step.next_previous, *step.older.unbind(1)]
        following = self.latent * _each(step.next_latent) + estimate * _each(step.next_noise)
        for before, weight in zip(self._clean, weights, strict=True):
            following = following + before * _each(weight)
        found = self.latent * _each(step.clean_latent) + estimate * _each(step.clean_noise)
        excess = found - found.clamp(-self.limit, self.limit)
        self.latent = following - excess * _each(step.next_noise / step.clean_noise)
        found = found - excess
        if known is not None:
            found = torch.where(known, clean, found)
        self._clean = [found, *self._clean[:-1]]


@dataclass(frozen=True)
class Clips:
    """What a batch is about: ``latent [B, C, H, W]``, ``features [B, F, 512]``, and how it begins, if that is known."""

    latent: Tensor
    features: Tensor
    beginnings: Beginnings | None


class Teacher:
    """A denoiser that is not trained any more, with the guidance of a sampling.

    Not a module: its weights are no part of the stage that learns from it.
    """

    def __init__(self, denoiser: Denoiser, sampling: Sampling, schedule: NoiseSchedule) -> None:
        self.denoiser = denoiser.eval().requires_grad_(False)
        self._network: Callable[..., Tensor] = self.denoiser
        self.sampling, self.schedule = sampling, schedule

    def guided(self, latent: Tensor, timestep: Tensor, clips: Clips, guidance: Tensor) -> Tensor:
        """The guided noise or velocity ``[B, C, H, W]``, float32: both branches in one batch."""
        drop = torch.arange(2, device=latent.device).repeat_interleave(len(latent)) == 1  # [2B]
        known = None if clips.beginnings is None else clips.beginnings.columns.repeat(2)
        output = self._network(
            latent.repeat(2, 1, 1, 1), timestep.repeat(2), clips.features.repeat(2, 1, 1), None, drop, known
        )  # [2B, 2C, H, W]
        conditional, unconditional = output[:, : latent.shape[1]].float().chunk(2)  # [B, C, H, W] each
        return unconditional + _each(guidance) * (conditional - unconditional)

    def strength(self, timestep: Tensor) -> Tensor:
        """How strong guidance is at timesteps ``[B]``, of any plan."""
        level = timestep.cpu().numpy() * (PURE_NOISE / self.schedule.train_steps)
        chosen = self.sampling
        scale = guidance_scale(level, chosen.guidance, chosen.guidance_power, chosen.guidance_interval)
        return torch.from_numpy(scale.astype(np.float32)).to(timestep.device)

    def prepare(self, device: torch.device, compiled: bool) -> None:
        """Compute on a device, compiled where the student is; doing so again changes nothing."""
        self.denoiser.to(device)
        if compiled and self._network is self.denoiser:
            self._network = torch.compile(self.denoiser)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]
