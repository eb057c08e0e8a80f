"""Distilling a denoiser: guidance goes into the weights, and few evaluations are what it is trained for.

The student starts as its teacher and learns the teacher's *guided* estimate from the video alone, so that one pass does
the work of two. One part of what it learns from are the steps of whole guided trajectories in the few steps that it
will be sampled in, the other part real latents at any timestep, which keep it true in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdsgen.errors import TrainingError
from mdsgen.geometry import Geometry
from mdsgen.model.denoiser import SIZES, Denoiser
from mdsgen.sampling import SOLVERS, Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.beginnings import Beginnings
from mdsgen.training.denoising import compared_latents
from mdsgen.training.diffusion import Diffusion, mean_where
from mdsgen.training.objective import Objective
from mdsgen.training.shards import Shards, sha256
from mdsgen.training.stage import LOSS, Stage, choose, floats, generator_from
from mdsgen.training.teacher import Clips, Plans, Solver, Step, Teacher

_MOST_STEPS = 64  # all of them are in memory


@dataclass(frozen=True)
class StudentConfig:
    """What the student is, which is what its teacher is, and how it is sampled.

    ``steps`` are the numbers of evaluations that it is trained for, the usual one first; ``guidance``,
    ``guidance_power`` and ``clean_limit`` those that the teacher is sampled with by ``solver``. ``weighting`` of the
    errors along a trajectory: ``"min_snr"`` as in the training of the denoiser, ``"landing"`` by how far each moves the
    next latent. ``substeps`` are how many steps the teacher takes for one of the student's, which is to land where they
    do; with more than one there is one number of ``steps``, since a latent at one timestep can only lead to one place,
    and a student that was distilled with one is a better beginning. The other words are those of ``[denoiser]``.
    """

    size: str = "tiny"
    video: Literal["clip", "columns"] = "clip"
    timestep_channels: int = 256
    steps: tuple[int, ...] = (4, 2)
    solver: str = "unipc-2"
    guidance: float = 2.0
    guidance_power: float = Sampling.guidance_power
    clean_limit: float = 1000.0
    weighting: Literal["min_snr", "landing"] = "min_snr"
    substeps: int = 1
    min_snr_gamma: float = 5.0
    beta_start: float = NoiseSchedule.beta_start
    beta_end: float = NoiseSchedule.beta_end
    noise_steps: int = NoiseSchedule.train_steps
    target: Literal["noise", "velocity"] = "noise"
    known_share: float = 0.0
    known_noise: float = 0.1

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1 or len(set(self.steps)) < len(self.steps):
            raise ValueError(f"steps must be different whole numbers, 1 or more, not {list(self.steps)}")
        if max(self.steps) > min(_MOST_STEPS, self.noise_steps):
            most = min(_MOST_STEPS, self.noise_steps)
            raise ValueError(f"steps must be at most {most}, not {max(self.steps)}")
        if self.substeps < 1 or max(self.steps) * self.substeps > min(_MOST_STEPS, self.noise_steps):
            raise ValueError(f"substeps must be at least 1, and few, not {self.substeps}")
        if self.substeps > 1 and len(self.steps) > 1:
            raise ValueError(f"with {self.substeps} substeps there can be one number of steps, not {list(self.steps)}")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, not {self.solver!r}")
        if self.known_share and self.video != "columns":
            raise ValueError("known_share needs video = 'columns': only there a column can be marked as known")
        _ = self.schedule, self.taught  # raise for impossible values

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule that teacher and student are trained with."""
        return NoiseSchedule(self.beta_start, self.beta_end, self.noise_steps, target=self.target)

    @property
    def taught(self) -> Sampling:
        """How the teacher is sampled, in the usual number of steps."""
        return Sampling(self.steps[0], self.guidance, self.guidance_power, self.solver, clean_limit=self.clean_limit)

    @property
    def sampling(self) -> Sampling:
        """How the student is sampled: the same way, without guidance."""
        return replace(self.taught, guidance=1.0)


class Points(NamedTuple):
    """What the student learns from, several of each clip: ``latent`` and ``target [B, E, C, H, W]``, ``timestep`` and
    ``weight [B, E]``."""

    latent: Tensor
    target: Tensor
    timestep: Tensor
    weight: Tensor


class StudentStage(Stage):
    """Guidance distillation on the teacher's trajectories, in squared error of what it estimates."""

    name = "student"
    fields = ("features", "latent")

    def __init__(self, geometry: Geometry, config: StudentConfig) -> None:
        super().__init__()
        if config.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, not {config.size!r}")
        self.geometry, self.config = geometry, config
        size = replace(SIZES[config.size], video=config.video, timestep_channels=config.timestep_channels)
        self.denoiser = Denoiser(geometry, size)
        self.objective = Objective(
            min_snr_gamma=config.min_snr_gamma,
            known_share=config.known_share,
            known_noise=config.known_noise,
            diffusion=Diffusion(config.schedule),
        )
        self.plans = Plans(config.steps, config.taught, config.schedule)
        self.substeps = Plans([count * config.substeps for count in config.steps], config.taught, config.schedule)
        self.evaluations = max(config.steps) + (min(config.steps) if config.substeps == 1 else 0)
        self._teacher: Teacher | None = None
        self._taught_by = ""

    @property
    def network(self) -> Denoiser:
        return self.denoiser

    def take(self, folder: Path) -> None:
        """Begin with the denoiser that was trained in ``folder``, and learn from it."""
        from mdsgen.training.trained import WEIGHTS, load_denoiser, read_training

        weights = folder / "denoiser" / WEIGHTS
        own, config = self.config, read_training(weights).section.config
        for name in ("size", "video", "beta_start", "beta_end", "noise_steps", "target"):
            if getattr(config, name) != getattr(own, name):
                raise TrainingError(
                    f"[student] says {name} = {getattr(own, name)!r}, and the denoiser in {weights.parent} has "
                    f"{getattr(config, name)!r}: a student is what its teacher is"
                )
        if own.known_share and not config.known_share:
            raise TrainingError(f"the denoiser in {weights.parent} was not trained to go on: set known_share to 0")
        self.learn_from(load_denoiser(weights.parent), sha256(weights))

    def take_checkpoint(self, checkpoint: Path) -> None:
        """Begin with a denoiser with the published names in a file, which estimates noise, and learn from it."""
        from mdsgen.weights.release import load_release

        if self.config.target != "noise":
            raise TrainingError(
                f"[student] says target = {self.config.target!r}, and a published denoiser estimates noise"
            )
        self.learn_from(load_release(checkpoint, decode_layer=None), sha256(checkpoint))

    def learn_from(self, denoiser: Denoiser, checksum: str) -> None:
        """Begin with a denoiser and learn from it. Raises :class:`TrainingError` where it is of another make."""
        if (denoiser.geometry, denoiser.config) != (self.geometry, self.denoiser.config):
            raise TrainingError(
                f"the teacher is a denoiser of {denoiser.geometry.name} with {denoiser.config}, and [student] says "
                f"{self.geometry.name} with {self.denoiser.config}"
            )
        self._teacher, self._taught_by = Teacher(denoiser, self.config.taught, self.config.schedule), checksum
        self.denoiser.load_state_dict(denoiser.state_dict())

    def describe(self) -> dict[str, Any]:
        """The teacher's checksum as well: with another one it would be another training. A target of noise is not
        named: it once was the only one."""
        own = {name: value for name, value in super().describe().items() if (name, value) != ("target", "noise")}
        return own | {"teacher": self._taught_by}

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Latents and features; in how many steps each clip is sampled, from which noise; and real latents' noises."""
        indices, generator = choose(clips, size, rng), generator_from(rng)
        shape = self.geometry.latent_shape
        spare = (size, self.evaluations)
        batch = {
            "latent": floats(clips, "latent", indices),  # [B, C, H, W]
            "features": floats(clips, "features", indices),  # [B, F, 512]
            "plan": torch.randint(len(self.config.steps), (size,), generator=generator),
            "start": torch.randn(size, *shape, generator=generator),
            "timestep": torch.randint(self.config.noise_steps, spare, generator=generator),  # [B, E]
            "noise": torch.randn(*spare, *shape, generator=generator),  # [B, E, C, H, W]
        }
        beginnings = self.objective.draw_beginnings(self.geometry, size, generator)
        if beginnings is not None:
            batch |= beginnings.to_batch()
        return batch

    def forward(  # type: ignore[override]
        self,
        latent: Tensor,
        features: Tensor,
        plan: Tensor,
        start: Tensor,
        timestep: Tensor,
        noise: Tensor,
        known: Tensor | None = None,
        known_sigma: Tensor | None = None,
    ) -> dict[str, Tensor]:
        beginnings = Beginnings.of_batch(known, known_sigma)
        compiled = torch.compiler.is_compiling()
        points = self._points(Clips(latent, features, beginnings), plan, start, timestep, noise, compiled)
        count = self.evaluations
        output = self.denoiser(
            points.latent.flatten(0, 1),
            points.timestep.flatten(),
            features.repeat_interleave(count, dim=0),
            known=None if known is None else known.repeat_interleave(count),
        )  # [B · E, 2C, H, W]
        estimate = output[:, : latent.shape[1]].float()
        counts = None
        if beginnings is not None:
            counts = (~beginnings.known(self.geometry)).float().repeat_interleave(count, dim=0)
        errors = mean_where(counts, (estimate - points.target.flatten(0, 1)).square())  # [B · E]
        errors = errors.reshape(points.weight.shape)
        return {LOSS: (errors * points.weight).mean(), "error": errors.mean()}

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # the teacher in it is compiled on its own
    @torch.no_grad()
    def _points(
        self, clips: Clips, plan: Tensor, start: Tensor, timestep: Tensor, noise: Tensor, compiled: bool = False
    ) -> Points:
        """What the teacher gives the student to learn from."""
        if self._teacher is None:
            raise TrainingError("a student needs a teacher: learn_from() comes first")
        self._teacher.prepare(start.device, compiled)
        if self.config.substeps > 1:
            return self._landings(self._teacher, clips, plan, start)
        return self._guided(self._teacher, clips, plan, start, timestep, noise)

    def _guided(
        self, teacher: Teacher, clips: Clips, plan: Tensor, start: Tensor, timestep: Tensor, noise: Tensor
    ) -> Points:
        """Each clip's trajectory, and from its end on real latents: as many evaluations of the teacher for all."""
        way, (known, seen) = Solver(start, self.plans.limit, self.plans.older), self._known(clips, start)
        found = []
        for index in range(self.evaluations):
            goes_on, step = self.plans.goes_on(plan, index), self.plans.step(plan, index)  # [B] each
            real = self.objective.diffusion.add_noise(clips.latent, timestep[:, index], noise[:, index])
            latent = torch.where(goes_on[:, None, None, None], way.latent, real)
            latent = latent if known is None else torch.where(known, seen, latent)
            at = torch.where(goes_on, step.timestep, timestep[:, index].float())
            strength = torch.where(goes_on, step.guidance, teacher.strength(timestep[:, index]))
            target = teacher.guided(latent, at, clips, strength)  # [B, C, H, W]
            weight = torch.where(goes_on, self._weight(step), self.objective.weight(timestep[:, index]))
            found.append((latent, target, at, weight))
            way.latent = latent
            way.advance(target, step, known, seen)
        return Points(*(torch.stack(values, dim=1) for values in zip(*found, strict=True)))

    def _landings(self, teacher: Teacher, clips: Clips, plan: Tensor, start: Tensor) -> Points:
        """The latents at which the student's steps begin, and the estimate with which each would end where those of the
        teacher's substeps do."""
        fine, coarse = (Solver(start, self.plans.limit, self.plans.older) for _ in range(2))
        (known, seen), found = self._known(clips, start), []
        for index in range(self.evaluations):
            begins = fine.latent if known is None else torch.where(known, seen, fine.latent)
            for substep in range(index * self.config.substeps, (index + 1) * self.config.substeps):
                step = self.substeps.step(plan, substep)
                fine.latent = fine.latent if known is None else torch.where(known, seen, fine.latent)
                fine.advance(teacher.guided(fine.latent, step.timestep, clips, step.guidance), step, known, seen)
            step, coarse.latent = self.plans.step(plan, index), begins
            target = coarse.estimate_to(fine.latent, step)
            coarse.advance(target, step, known, seen)
            found.append((begins, target, step.timestep, self._weight(step)))
        return Points(*(torch.stack(values, dim=1) for values in zip(*found, strict=True)))

    def _known(self, clips: Clips, start: Tensor) -> tuple[Tensor | None, Tensor]:
        """Where the latents are known, and how they are given there."""
        if clips.beginnings is None:
            return None, clips.latent
        given = clips.beginnings.given(self.geometry, clips.latent, clips.latent, start)  # [B, C, H, W]
        return clips.beginnings.known(self.geometry), given

    def _weight(self, step: Step) -> Tensor:
        """How much the error of a step of the trajectory counts, ``[B]``."""
        if self.config.weighting == "landing":
            return step.next_noise.square()
        if self.config.target == "velocity":
            return torch.ones_like(step.clean_noise)
        per_snr = step.clean_noise.square()  # a clean estimate is latent / alpha - noise · sigma / alpha
        weight: Tensor = (self.config.min_snr_gamma * per_snr).clamp(max=1.0)
        return weight

    @torch.no_grad()
    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray:
        """Latents of real clips above those sampled for their videos in the usual number of steps."""
        return compared_latents(self.denoiser, clips, indices, self.config.sampling, self.config.schedule)
