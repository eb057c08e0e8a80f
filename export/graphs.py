"""The five networks of a bundle as modules with exactly the inputs and outputs that their graphs will have.

The denoiser is cut where the diffusion loop begins: :class:`Conditioning` computes everything that depends on video and
timestep only, for all steps and both guidance branches at once; :class:`DenoiserStep` is what runs in every step.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from mdsgen.export.attention import StepAttention
from mdsgen.model.denoiser import Denoiser

BRANCHES = 2
"""Guidance branches in one batch: conditional first, then unconditional."""


class Conditioning(nn.Module):
    """Reducer, timestep embedding and all modulations.

    ``features [1, frames, 512]``, ``timesteps [steps]`` -> ``modulations [steps, branches, V, D]``: step after step, so
    that the loop addresses its own by an offset. V is 6·depth + 2, and one for each time column where those are told of
    their frames. One branch is the conditional one.
    """

    def __init__(self, denoiser: Denoiser, branches: int = BRANCHES) -> None:
        super().__init__()
        self.denoiser, self.branches = denoiser, branches

    def forward(self, features: Tensor, timesteps: Tensor) -> Tensor:
        embedded = self.denoiser.t_embedder(timesteps)  # [S, D]
        conditional = embedded + self.denoiser.reduce(features)  # [S, D] + [1, D]
        seen = self.denoiser.modulations(conditional, features)  # [S, V, D]
        unseen = [self.denoiser.modulations(embedded)] if self.branches == BRANCHES else []
        return torch.stack([seen, *unseen], dim=1)


class DenoiserStep(nn.Module):
    """One guided pass: all branches see the same latent, each under its own modulations.

    ``latent [1, C, H, W]``, ``modulations [branches, V, D]`` -> ``noise [branches, C, H, W]``.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = deployable(denoiser)
        for block in self.denoiser.blocks:
            block.attn = StepAttention(block.attn, denoiser.geometry.grid)  # type: ignore[arg-type]

    def forward(self, latent: Tensor, modulations: Tensor) -> Tensor:
        tokens = self.denoiser.embed(latent)  # [1, N, D], shared by both branches
        return self.denoiser.denoise(tokens, modulations)


class TanhGelu(nn.Module):
    """GELU in its tanh approximation, with the operations in the order that inference engines know how to fuse.

    ONNX has no GELU before opset 20. ONNX Runtime's FastGeluFusion looks for exactly this sequence; written any other
    way, eight passes over the largest activation of the network remain.
    """

    def forward(self, x: Tensor) -> Tensor:
        inner = (x * 0.044715 * x + 1.0) * (x * 0.7978845834732056)
        return (x * 0.5) * (torch.tanh(inner) + 1.0)


M = TypeVar("M", bound=nn.Module)


def fusable(module: M) -> M:
    """A copy in which every tanh-approximated GELU is a :class:`TanhGelu`; it shares the original's parameters."""
    copied = copy.deepcopy(module, memo={id(parameter): parameter for parameter in module.parameters()})
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GELU) and child.approximate == "tanh":
                setattr(parent, name, TanhGelu())
    return copied


def deployable(denoiser: Denoiser) -> Denoiser:
    """A copy without what only training needs: its final layer computes the noise alone, ``[B, C, H, W]``.

    It shares its parameters with the original.
    """
    copied = fusable(denoiser)
    copied.sideblocks = nn.ModuleList()
    copied.final_layer.linear = _noise_rows(denoiser.final_layer.linear, denoiser.geometry.channels)
    return copied


def _noise_rows(full: nn.Linear, channels: int) -> nn.Linear:
    """The rows of the final projection that make the noise: the first C of the 2C of every patch position."""
    half = nn.Linear(full.in_features, full.out_features // 2)
    with torch.no_grad():
        half.weight.copy_(full.weight.reshape(-1, 2 * channels, full.in_features)[:, :channels].flatten(0, 1))
        half.bias.copy_(full.bias.reshape(-1, 2 * channels)[:, :channels].flatten())
    return half
