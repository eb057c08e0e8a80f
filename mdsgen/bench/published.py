"""The denoiser step as the public release computes it: what everything else is compared with.

Two passes of one clip each. Every pass computes its condition anew, the Reducer included (unconditionally its result is
dropped, not left out), looks up the position biases of every block, and writes the attention out.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mdsgen.model.attention import Attention
from mdsgen.model.denoiser import Denoiser


class PublishedAttention(nn.Module):
    """The arithmetic of the release's attention, over the same parameters as the project's own."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = attention.heads, attention.qkv, attention.proj
        self.rel_pos_bias = attention.rel_pos_bias

    def forward(self, x: Tensor, keep: None = None) -> Tensor:
        batch, tokens, width = x.shape
        channels = width // self.heads
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, channels).permute(2, 0, 3, 1, 4)  # [3, B, h, N, d]
        query, key, value = qkv.unbind(0)
        scores = query @ key.transpose(2, 3) * channels**-0.5  # [B, h, N, N]
        scores += self._bias(tokens)
        x = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, tokens, width)  # [B, N, D]
        x = self.proj(x)
        return x

    def _bias(self, tokens: int) -> Tensor:
        """``[h, N, N]``, looked up number by number and put into that order."""
        index = self.rel_pos_bias.relative_position_index.flatten()  # [N·N]
        bias = self.rel_pos_bias.relative_position_bias_table[index]  # [N·N, h]
        return bias.reshape(tokens, tokens, -1).permute(2, 0, 1).contiguous()


def published(denoiser: Denoiser) -> Denoiser:
    """A copy that computes like the release; it shares its parameters with the original."""
    copied = copy.deepcopy(denoiser, memo={id(tensor): tensor for tensor in denoiser.parameters()})
    for block in copied.blocks:
        block.attn = PublishedAttention(block.attn)  # type: ignore[arg-type]
    return copied


def two_passes(denoiser: Denoiser, latent: Tensor, timestep: Tensor, features: Tensor) -> Tensor:
    """Both branches of guidance one after the other: the noise ``[2, C, H, W]``, conditional first."""
    channels = denoiser.geometry.channels
    with torch.no_grad():
        drops = [torch.full((1,), dropped, device=latent.device) for dropped in (False, True)]
        passes = [denoiser(latent, timestep, features, drop_condition=drop) for drop in drops]
    return torch.cat(passes)[:, :channels]  # [1, 2C, H, W] each
