"""The PyTorch networks, as what an exported bundle is compared with."""

from __future__ import annotations

import numpy as np
import torch

from mdsgen.export.models import Models
from mdsgen.export.verify import Estimate


class PyTorchOriginal:
    """The networks in FP32 in PyTorch, the denoiser the published way: a whole pass for each branch in every step.

    A distilled one has the conditional branch alone.
    """

    name = "PyTorch"

    def __init__(self, models: Models) -> None:
        self.models, self.geometry, self.schedule = models, models.geometry, models.schedule
        self._branches = models.branches

    @torch.no_grad()
    def encode(self, frames: np.ndarray) -> np.ndarray:
        return _array(self.models.video_encoder(torch.from_numpy(frames)[None]))  # [1, F, 512]

    @torch.no_grad()
    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        denoiser, seen = self.models.denoiser, torch.from_numpy(features)
        per_step = []
        for t in torch.from_numpy(timesteps)[:, None]:  # [1] each
            branches = [denoiser.modulations(denoiser.condition(t, known), known) for known in self._of(seen)]
            per_step.append(torch.cat(branches))  # [branches, V, D]
        return _array(torch.stack(per_step))

    def denoiser(self, features: np.ndarray, timesteps: np.ndarray) -> Estimate:
        seen, all_t = torch.from_numpy(features), torch.from_numpy(timesteps)[:, None]

        @torch.no_grad()
        def estimate(latent: np.ndarray, step: int) -> np.ndarray:
            x, t = torch.from_numpy(latent), all_t[step]
            noises = [self.models.denoiser(x, t, known)[:, : self.geometry.channels] for known in self._of(seen)]
            return _array(torch.cat(noises))  # [branches, C, H, W]

        return estimate

    def _of(self, seen: torch.Tensor) -> list[torch.Tensor | None]:
        """What each branch knows of the video."""
        return [seen, None][: self._branches]

    @torch.no_grad()
    def decode(self, latent: np.ndarray) -> np.ndarray:
        return _array(self.models.codec.decode(torch.from_numpy(latent)))  # [1, frames, bins]

    @torch.no_grad()
    def vocode(self, log_mel: np.ndarray) -> np.ndarray:
        return _array(self.models.codec.vocode(torch.from_numpy(log_mel)))  # [1, samples]


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.contiguous().numpy()
    return array
