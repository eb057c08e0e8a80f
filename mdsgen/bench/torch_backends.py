"""The model in PyTorch on a processor or a GPU, as published and with fused attention.

Everything between upload and download stays on the device.
"""

from __future__ import annotations

import abc
import copy
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mdsgen.bench.backends import Backend, Run
from mdsgen.bench.published import published, two_passes
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.errors import EngineError
from mdsgen.export.models import Models
from mdsgen.kernels import coefficient_table
from mdsgen.model.denoiser import Denoiser
from mdsgen.model.istft_vocoder import InverseFourier
from mdsgen.runtime.solver import Plan, plan_steps, timesteps_of
from mdsgen.sampling import Sampling

_PRECISIONS = {torch.float16: "fp16", torch.float32: "fp32"}

M = TypeVar("M", bound=nn.Module)

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Noise ``[1, C, H, W]`` in float32 and features ``[1, F, 512]`` to the latent."""


class TorchBackend(Backend):
    """Networks in one data type on a device, latent and solver in float32; on a processor with so many threads.

    Raises :class:`EngineError` where there is no such device.
    """

    def __init__(self, source: Subject, threads: int, device: str, dtype: torch.dtype) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError(f"PyTorch {torch.__version__} finds no CUDA device here: compare torch-fused instead")
        self._source, self._device, self._dtype = source, device, dtype
        self.precision = _PRECISIONS[dtype]
        self.data_type = f"cuda {self.precision}" if device == "cuda" else self.precision
        _ = source.models  # refused before anything is opened
        self._stack = ExitStack()
        if device == "cpu":
            self._stack.enter_context(torch_threads(threads))

    @cached_property
    def _models(self) -> Models:
        """On the device, once."""
        models = self._source.models
        as_it_is = (self._device, self._dtype) == ("cpu", torch.float32)
        return models if as_it_is else moved(models, self._device, self._dtype)

    def loop(self, inputs: Inputs, sampling: Sampling) -> Run:
        denoise = self._denoise(sampling)
        features = self._up(inputs.features).to(self._dtype)  # the video encoder leaves them there
        return self._run(lambda: denoise(self._up(inputs.latent), features))

    def clip(self, inputs: Inputs, sampling: Sampling) -> Run:
        denoise = self._denoise(sampling)
        encode, decode = map(self._built, (self._models.video_encoder, self._models.codec))

        def clip() -> Tensor:
            frames = self._up(inputs.pictures).permute(0, 3, 1, 2)[None].to(self._dtype) / 255  # [1, F, 3, size, size]
            features = encode(frames).clone()  # out of a graph's own memory, where there is one
            latent = denoise(self._up(inputs.latent), features)  # [1, C, H, W]
            waveform: Tensor = decode(latent.to(self._dtype))[0]  # [samples]
            return waveform

        return self._run(clip)

    @abc.abstractmethod
    def _denoise(self, sampling: Sampling) -> Denoise:
        """The loop on the device, with its tables there already."""

    def _plan(self, sampling: Sampling) -> Plan:
        return plan_steps(sampling, self._models.schedule)

    def _built(self, module: nn.Module) -> Callable[..., Any]:
        """A network as it is called."""
        return module

    def _up(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _run(self, compute: Callable[[], Tensor]) -> Run:
        """With nothing left to do on the device when it returns."""

        @torch.no_grad()
        def run() -> np.ndarray:
            array: np.ndarray = compute().float().cpu().numpy()
            if self._device == "cuda":
                torch.cuda.synchronize()
            return array

        return run

    def settle(self) -> None:
        if self._device == "cuda":
            gc.collect()  # what is in cycles holds memory, too
            torch.cuda.empty_cache()

    def close(self) -> None:
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            delattr(self, name)
        self._stack.close()
        self.settle()


class Eager(TorchBackend):
    """Two passes a step, each of which computes its condition anew; attention as the release writes it, or fused."""

    published = True

    def __init__(
        self, source: Subject, threads: int, device: str, dtype: torch.dtype, *, fused_attention: bool = False
    ) -> None:
        super().__init__(source, threads, device, dtype)
        self._fused_attention = fused_attention
        attention = "fused attention" if fused_attention else "attention written out, as published"
        self.what = f"PyTorch eager, {self.precision.upper()}, two passes, conditioning in every pass, {attention}"

    @cached_property
    def _denoiser(self) -> Denoiser:
        denoiser = self._models.denoiser
        return denoiser if self._fused_attention else published(denoiser)

    def step(self, inputs: Inputs) -> Run:
        denoiser, timestep = self._denoiser, self._up(inputs.timestep)
        features = self._up(inputs.features).to(self._dtype)
        return self._run(lambda: two_passes(denoiser, self._up(inputs.latent).to(self._dtype), timestep, features))

    def _denoise(self, sampling: Sampling) -> Denoise:
        plan, denoiser = self._plan(sampling), self._denoiser
        timesteps = self._up(timesteps_of(plan))[:, None]  # [steps, 1]
        table = coefficient_table(step.coefficients for step in plan).tolist()
        history_length = looks_back(plan)

        def denoise(noise: Tensor, features: Tensor) -> Tensor:
            latent, history = noise, [torch.zeros_like(noise)] * history_length
            for timestep, row in zip(timesteps, table, strict=True):
                both = two_passes(denoiser, latent.to(self._dtype), timestep, features)  # [2, C, H, W]
                latent, clean = advance(latent, both, history, row)
                history = [clean, *history[:-1]]
            return latent

        return denoise


def advance(latent: Tensor, both: Tensor, history: Sequence[Tensor], row: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """One guided solver step in float32: the next latent, and this one's clean estimate.

    ``both [2, C, H, W]``; ``history`` are the clean estimates before; ``row`` is one of a
    :func:`~mdsgen.kernels.coefficient_table`, as numbers or as tensors. Nothing is known of the latent.
    """
    guidance, next_latent, next_noise, *next_history, clean_latent, clean_noise, limit, next_per_clean, _, _ = row
    conditional, unconditional = both.float().chunk(2)  # [1, C, H, W] each
    noise = unconditional + (conditional - unconditional) * guidance
    following = latent * next_latent + noise * next_noise
    for past, weight in zip(history, next_history, strict=False):  # a solver that looks back less has fewer
        following = following + past * weight
    clean = latent * clean_latent + noise * clean_noise
    limited = clean.clamp(-limit, limit)
    return following - (clean - limited) * next_per_clean, limited


def moved(models: Models, device: str, dtype: torch.dtype) -> Models:
    """A copy in another data type on a device. The inverse Fourier transform stays in float32, as everywhere."""

    def copied(module: M) -> M:
        there = copy.deepcopy(module).to(device, dtype)
        for part in there.modules():
            if isinstance(part, InverseFourier):
                part.float()
        return there

    networks = copied(models.denoiser), copied(models.video_encoder), copied(models.codec)
    return replace(models, denoiser=networks[0], video_encoder=networks[1], codec=networks[2])


def looks_back(plan: Plan) -> int:
    """How many clean estimates of earlier steps a solver wants."""
    return 1 + max(len(step.coefficients.next_older) for step in plan)


published_on_cpu = partial(Eager, device="cpu", dtype=torch.float32)
fused_on_cpu = partial(Eager, device="cpu", dtype=torch.float32, fused_attention=True)
published_on_gpu = partial(Eager, device="cuda", dtype=torch.float16)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch on so many threads while the context is open."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
