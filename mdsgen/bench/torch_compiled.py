"""The model in PyTorch, compiled: this project's, as fast as PyTorch makes it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from mdsgen.bench.backends import Run
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bench.torch_backends import Denoise, TorchBackend, advance, looks_back
from mdsgen.errors import EngineError
from mdsgen.export.graphs import Conditioning
from mdsgen.kernels import coefficient_table
from mdsgen.model.attention import RelativePositionBias
from mdsgen.model.denoiser import Denoiser
from mdsgen.runtime.solver import timesteps_of
from mdsgen.sampling import Sampling

_RUNS_TO_CAPTURE = 2  # the first one warms up


def max_autotune(function: Callable[..., Any]) -> Callable[..., Any]:
    """``torch.compile`` at its fastest: tuned kernels, replayed as CUDA graphs where there is a GPU."""
    compiled: Callable[..., Any] = torch.compile(function, mode="max-autotune", dynamic=False)
    return compiled


class Compiled(TorchBackend):
    """This project's model: conditioning once per clip, and a step (both branches in one batch, guidance, solver) that
    is one compiled function. Position biases are computed once, as in the plans."""

    what = "PyTorch compiled (max-autotune, CUDA graphs), FP16, one pass for both branches, conditioning once per clip"

    def __init__(
        self,
        source: Subject,
        threads: int,
        device: str = "cuda",
        dtype: torch.dtype = torch.float16,
        compiler: Callable[[Callable[..., Any]], Callable[..., Any]] = max_autotune,
    ) -> None:
        super().__init__(source, threads, device, dtype)
        if device == "cuda" and not find_spec("triton"):
            raise EngineError("torch-compile needs Triton, which is not installed here: leave it out")
        self._compiler, self._captures = compiler, device == "cuda"

    def step(self, inputs: Inputs) -> Run:
        with torch.no_grad():
            features, timestep = self._up(inputs.features).to(self._dtype), self._up(inputs.timestep)
            modulations = Conditioning(self._models.denoiser)(features, timestep)[0]  # [2, V, D]
        both = self._built(partial(one_pass, self._folded))
        return self._run(lambda: both(self._up(inputs.latent).to(self._dtype), modulations))

    def _denoise(self, sampling: Sampling) -> Denoise:
        plan = self._plan(sampling)
        history_length = looks_back(plan)
        timesteps = self._up(timesteps_of(plan))  # [steps]
        table = self._up(coefficient_table(step.coefficients for step in plan))  # [steps, 12]

        def denoise(noise: Tensor, features: Tensor) -> Tensor:
            latent, history = noise, [torch.zeros_like(noise)] * history_length
            for modulations, row in zip(self._condition(features, timesteps).clone(), table, strict=True):
                # Copied out of the graph's own memory, where its next launch overwrites them.
                latent, clean = (result.clone() for result in self._step(latent, modulations, row, *history))
                history = [clean, *history[:-1]]
            return latent

        return denoise

    @cached_property
    def _folded(self) -> Denoiser:
        return folded(self._models.denoiser)

    @cached_property
    def _condition(self) -> Callable[[Tensor, Tensor], Tensor]:
        """``features [1, F, 512]``, ``timesteps [steps]`` -> ``[steps, 2, V, D]``."""
        return self._built(Conditioning(self._models.denoiser))

    @cached_property
    def _step(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """Compiled once for every length of the history, whichever loop it is in."""
        denoiser, dtype = self._folded, self._dtype

        def step(latent: Tensor, modulations: Tensor, row: Tensor, *history: Tensor) -> tuple[Tensor, Tensor]:
            both = one_pass(denoiser, latent.to(dtype), modulations)  # [2, C, H, W]
            return advance(latent, both, history, row.unbind())

        return self._built(step)

    def _built(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """Compiled. What it returns lies in a graph's own memory, and is good until the next call of any of them."""
        compiled = self._compiler(module)

        def call(*arguments: Tensor) -> Any:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return compiled(*arguments)

        return call

    def _run(self, compute: Callable[[], Tensor]) -> Run:
        """Captured: what PyTorch leaves out of CUDA graphs is not timed under their name."""
        run, before = super()._run(compute), _skipped()
        if self._captures:
            for _ in range(_RUNS_TO_CAPTURE):
                run()
            if _skipped() > before:
                raise EngineError(
                    "torch-compile: PyTorch left a part of it out of CUDA graphs, see its warning: leave it out here"
                )
        return run

    def close(self) -> None:
        if self._captures:
            torch.compiler.reset()  # graphs and their memory are PyTorch's
        super().close()


def _skipped() -> int:
    """How often PyTorch has compiled something without a CUDA graph in this process."""
    from torch._dynamo.utils import counters

    return int(counters["inductor"]["cudagraph_skips"])


def one_pass(denoiser: Denoiser, latent: Tensor, modulations: Tensor) -> Tensor:
    """Both branches: ``latent [1, C, H, W]``, ``modulations [2, V, D]`` -> noise ``[2, C, H, W]``."""
    tokens = denoiser.embed(latent)  # [1, N, D]
    return denoiser.denoise(tokens, modulations)[:, : denoiser.geometry.channels]


class Folded(nn.Module):
    """A position bias that is computed once, ``[1, heads, N, N]``."""

    bias: Tensor

    def __init__(self, bias: RelativePositionBias) -> None:
        super().__init__()
        self.register_buffer("bias", bias().detach().contiguous())

    def forward(self, keep: None = None) -> Tensor:
        return self.bias


def folded(denoiser: Denoiser) -> Denoiser:
    """A copy whose position biases are computed; it shares its other parameters with the original."""
    copied = copy.deepcopy(denoiser, memo={id(tensor): tensor for tensor in denoiser.parameters()})
    for block in copied.blocks:
        block.attn.rel_pos_bias = Folded(block.attn.rel_pos_bias)  # type: ignore[union-attr,arg-type]
    return copied
