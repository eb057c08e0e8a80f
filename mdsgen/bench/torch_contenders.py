"""The model in PyTorch on the processor: as published, and with the project's own attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from mdsgen.bench.contenders import Contender, Run
from mdsgen.bench.published import published, two_passes
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.runtime.sampler import Estimates, solve
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.sampling import Sampling


class Fused(Contender):
    """This project's model in eager mode: two passes a step, each computing its condition anew; fused attention."""

    what = "PyTorch eager, FP32, two passes, conditioning in every pass, fused attention"
    published = True

    def __init__(self, source: Subject, threads: int) -> None:
        self._stack = ExitStack()
        self._models = source.models
        self._denoiser = self._models.denoiser
        self._stack.enter_context(torch_threads(threads))

    def step(self, inputs: Inputs) -> Run:
        latent, timestep, features = map(torch.from_numpy, (inputs.latent, inputs.timestep, inputs.features))
        return lambda: two_passes(self._denoiser, latent, timestep, features).numpy()

    def loop(self, inputs: Inputs, sampling: Sampling) -> Run:
        features = torch.from_numpy(inputs.features)
        return lambda: self._solve(inputs.latent, features, sampling)

    def clip(self, inputs: Inputs, sampling: Sampling) -> Run:
        frames, codec = torch.from_numpy(inputs.frames)[None], self._models.codec

        @torch.no_grad()
        def clip() -> np.ndarray:
            features = self._models.video_encoder(frames)  # [1, F, 512]
            latent = torch.from_numpy(self._solve(inputs.latent, features, sampling))  # [1, C, H, W]
            waveform: np.ndarray = codec.vocode(codec.decode(latent))[0].numpy()  # [samples]
            return waveform

        return clip

    def _solve(self, noise: np.ndarray, features: torch.Tensor, sampling: Sampling) -> np.ndarray:
        plan = plan_steps(sampling, self._models.schedule)
        timesteps = torch.from_numpy(timesteps_of(plan))[:, None]  # [steps, 1]

        def estimate(latent: np.ndarray, index: int) -> Estimates:
            both = two_passes(self._denoiser, torch.from_numpy(latent), timesteps[index], features).numpy()
            return both[:1], both[1:]

        return solve(noise, plan, estimate)

    def close(self) -> None:
        self._stack.close()


class Published(Fused):
    """As the public release computes it, attention written out."""

    what = "PyTorch eager, FP32, as published: two passes, conditioning in every pass, attention written out"

    def __init__(self, source: Subject, threads: int) -> None:
        super().__init__(source, threads)
        self._denoiser = published(self._models.denoiser)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch on so many threads while the context is open."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
