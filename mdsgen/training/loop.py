"""The training loop: the same for every stage, on one process or many, resumed as if it had never stopped.

The batch of a step depends on the seed and the step alone, so that a resumed training sees what the uninterrupted one
would have seen. With several processes (``torchrun``) each draws the whole batch and takes its part of it: the result
is that of one process with the whole batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mdsgen.errors import CheckpointError, TrainingError, writing
from mdsgen.files import sweep, write_whole
from mdsgen.media.png import png_bytes
from mdsgen.report import Interim, Pace, Report, silent
from mdsgen.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mdsgen.training.clips import clip_formats
from mdsgen.training.ema import Ema
from mdsgen.training.interruption import interruption
from mdsgen.training.log import Log
from mdsgen.training.processes import Processes
from mdsgen.training.resumption import check_state
from mdsgen.training.settings import NOT_LEARNED, Settings
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage

CHECKPOINT = "checkpoint.pt"
"""What a training goes on from."""

_REPORT_SECONDS = 2.0  # after which it is said how far it is, though nothing is logged yet
_PICTURED = (0, 1, 2, 3)  # clips of the dataset


class Trainer:
    """One stage in training: optimiser, average and step, and how they are kept in ``folder``.

    Batch norms see the whole batch on GPUs; on CPUs, where PyTorch cannot bring them together, each process's own part,
    so that a network with batch norms does not come out quite as one process would train it.

    ``folder`` holds ``checkpoint.pt``, ``log.csv`` and ``pictures/``. Raises :class:`TrainingError` where the
    checkpoint there is of another configuration, and where a loss is not finite.
    """

    def __init__(
        self,
        stage: Stage,
        settings: Settings,
        clips: Shards,
        folder: Path,
        *,
        processes: Processes | None = None,
        report: Report = silent,
    ) -> None:
        clips.require(*stage.fields)
        clips.require_formats(clip_formats(stage.geometry))
        self.processes = processes or Processes()
        if settings.batch % self.processes.count:
            raise TrainingError(f"a batch of {settings.batch} does not divide among {self.processes.count} processes")
        self.stage = stage.to(self.processes.device).train()
        self.settings, self.clips, self.folder, self.report = settings, clips, folder, report
        self.optimiser = _optimiser(stage, settings)
        self.ema = Ema(settings.ema, warm_up=True)
        self.step = 0
        self._kept_log: str | None = None
        self._forward = self._parallel()
        sweep(folder)
        report(f"training the {stage.name.replace('_', ' ')} on {self.processes}")
        if (folder / CHECKPOINT).exists():
            self._resume()

    def fit(self, until: int | None = None) -> None:
        """Train to the end, or until ``until`` steps have been made; what was reached is kept either way.

        Ctrl-C ends it after the step at hand, with a checkpoint, and is then raised as ``KeyboardInterrupt``; so do
        SIGTERM and SIGHUP, which then do what they would have done. Raises :class:`TrainingError` where the disk is
        full or read-only: the last checkpoint is then as it was.
        """
        with interruption() as interrupted:
            self._fit(min(self.settings.steps, self.settings.steps if until is None else until), interrupted)

    def _fit(self, end: int, interrupted: Callable[[], bool]) -> None:
        log = Log(self.folder / "log.csv", self.step, self._kept_log) if self.processes.first else None
        pace, reported = Pace(self.step), time.monotonic()
        while self.step < end:
            losses = self._train_step()
            logged = self.step % self.settings.log_every == 0 or self.step == end
            if log and (logged or time.monotonic() - reported > _REPORT_SECONDS):
                values = {name: float(value.detach()) for name, value in losses.items()}
                speed = self.settings.batch * pace.per_second(self.step)
                if logged:
                    log.write(self.step, values | {"rate": self.settings.rate_at(self.step - 1), "clips_per_s": speed})
                self.report(_line(self.step, self.settings.steps, values, speed, pace))
                reported = time.monotonic()
            if self.step % self.settings.checkpoint_every == 0 or self.step == end:
                self._keep(log)
            if self.step % self.settings.picture_every == 0 or self.step == end:
                self._draw_picture()
            if self.step < end and self.processes.any(interrupted()):
                self._keep(log)
                self.report(f"kept step {self.step} in {self.folder}: the same command goes on from there")
                raise KeyboardInterrupt

    def finish(self) -> nn.Module:
        """Put the averaged weights into the stage's network and return it, ready for use."""
        self.ema.copy_to(self.stage)
        self.stage.eval()
        self.stage.finish(self.clips)
        return self.stage.network

    def _train_step(self) -> dict[str, Tensor]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate_at(self.step)
        rng = np.random.default_rng([self.settings.seed, self.step])
        batch = self.stage.draw(self.clips, self.settings.batch, rng)
        batch = {name: self.processes.part_of(values) for name, values in batch.items()}
        with self._autocast():
            losses: dict[str, Tensor] = self._forward(**batch)
        if not torch.isfinite(losses[LOSS]):
            raise TrainingError(f"the loss of step {self.step} is not finite: try a lower learning_rate or fp32")
        self.optimiser.zero_grad()
        losses[LOSS].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.stage.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        self.ema.update(self.stage)
        self.step += 1
        return losses

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.processes.device.type, torch.bfloat16)

    def _parallel(self) -> nn.Module:
        module: nn.Module = self.stage
        if self.processes.count > 1:
            if self.processes.device.type == "cuda":
                module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
            # Some parameters are used in some steps only, such as the denoiser's side block.
            module = DistributedDataParallel(module, find_unused_parameters=True)
        return torch.compile(module) if self.settings.compile else module  # type: ignore[return-value]

    def _keep(self, log: Log | None) -> None:
        if log:
            parts = self.stage.state_dict(), self.optimiser.state_dict(), self.ema.state_dict()
            save_checkpoint(self.folder / CHECKPOINT, Checkpoint(self.step, *parts, log.text), self._identity())
            self._kept_log = log.text

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        state = load_checkpoint(path, self._identity())
        try:
            check_state(state, self.stage, self.optimiser, self.settings.steps)
        except (ValueError, CheckpointError) as error:
            raise TrainingError(f"{path} cannot be gone on from ({error}): remove it to start anew") from error
        self.stage.load_state_dict(state.stage)
        groups = self.optimiser.state_dict()["param_groups"]  # as this version of PyTorch has them
        self.optimiser.load_state_dict({"state": state.optimiser["state"], "param_groups": groups})
        self.ema.load_state_dict(state.ema)
        self.step, self._kept_log = state.step, state.log
        self.report(f"going on from step {self.step}")

    def _identity(self) -> dict[str, object]:
        """What must be the same when a training goes on."""
        settings = {name: value for name, value in vars(self.settings).items() if name not in NOT_LEARNED}
        return {"stage": self.stage.name, "settings": settings, "config": self.stage.describe()}

    def _draw_picture(self) -> None:
        if not self.processes.first:
            return
        current = {name: value.clone() for name, value in self.stage.state_dict().items()}
        self.ema.copy_to(self.stage)
        self.stage.eval()
        grey = self.stage.picture(self.clips, [i for i in _PICTURED if i < len(self.clips)])
        self.stage.load_state_dict(current)
        self.stage.train()
        if grey is not None:
            path = self.folder / "pictures" / f"{self.step:06d}.png"
            with writing(path, TrainingError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, png_bytes(np.rint(grey.clip(0, 1) * 255).astype(np.uint8)))


def _optimiser(stage: Stage, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; biases, scales and embeddings are not decayed."""
    parameters = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)


def _line(step: int, steps: int, losses: dict[str, float], speed: float, pace: Pace) -> Interim:
    """When it will be done comes first, and the loss before its parts: a narrow terminal cuts the end off."""
    values = [f"{name} {value:.4g}" for name, value in losses.items()]
    parts = [f"step {step} of {steps}", pace.left(step, steps), f"{speed:.1f} clips/s", *values]
    return Interim("  ".join(part for part in parts if part))
