"""The denoiser's attention, in the form that inference engines run fastest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdsgen.model.attention import Attention, RelativePositionBias


class StepAttention(nn.Module):
    """What :class:`~mdsgen.model.attention.Attention` computes over all tokens, with less data moved about.

    Queries, keys and values have projections of their own, where one would have to be taken apart again; the scale is
    in the weights of the queries; the position bias is a :class:`RowwiseBias`. On a CPU that is a tenth of a step.
    """

    def __init__(self, attention: Attention, grid: tuple[int, int]) -> None:
        super().__init__()
        self.heads, self.proj = attention.heads, attention.proj
        width = attention.proj.in_features
        weights, biases = attention.qkv.weight.detach().chunk(3), attention.qkv.bias.detach().chunk(3)
        scale = (width // self.heads) ** -0.5
        self.query = _linear(weights[0] * scale, biases[0] * scale)
        self.key = _linear(weights[1], biases[1])
        self.value = _linear(weights[2], biases[2])
        self.bias = RowwiseBias(attention.rel_pos_bias, grid)

    def forward(self, x: Tensor, keep: None = None) -> Tensor:
        batch, tokens, width = x.shape
        apart = (batch, tokens, self.heads, width // self.heads)
        query = self.query(x).reshape(apart).permute(0, 2, 1, 3)  # [B, h, N, d]
        key = self.key(x).reshape(apart).permute(0, 2, 3, 1)  # [B, h, d, N]
        value = self.value(x).reshape(apart).permute(0, 2, 1, 3)  # [B, h, N, d]
        attention = torch.softmax(query @ key + self.bias(), dim=-1)  # [B, h, N, N]
        joined = (attention @ value).transpose(1, 2).reshape(batch, tokens, width)  # [B, N, D]
        x = self.proj(joined)  # [B, N, D]
        return x


class RowwiseBias(nn.Module):
    """The bias of all tokens, ``[1, heads, N, N]``, put together from whole rows of the grid.

    The offsets from one token to all tokens of a grid row are neighbours. So for each column that a token can stand in
    there are just ``2·rows - 1`` different rows of biases, and copying those is much cheaper than looking up N² single
    numbers: cheap enough to do it in every step, and not to keep the N² numbers of every block in memory.
    """

    offsets: Tensor
    index: Tensor

    def __init__(self, bias: RelativePositionBias, grid: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = grid
        self.table = bias.relative_position_bias_table
        pairs = bias.relative_position_index.reshape(rows, columns, rows, columns)  # [row, column, to row, to column]
        # Row offsets from the last row, then from the first: all there are, [columns, 2·rows - 1, columns].
        self.register_buffer("offsets", torch.cat([pairs[-1], pairs[0, :, 1:]], dim=1))
        row, column = torch.arange(rows), torch.arange(columns)
        first = column * (2 * rows - 1) + (rows - 1 - row)[:, None]  # [rows, columns]: what a token sees of row 0
        self.register_buffer("index", first.flatten()[:, None] + row)  # [N, rows]

    def forward(self) -> Tensor:
        distinct = self.table[self.offsets].permute(3, 0, 1, 2)  # [heads, columns, 2·rows - 1, columns]
        tokens = len(self.index)
        seen = distinct.flatten(1, 2)[:, self.index]  # [heads, N, rows, columns]
        return seen.reshape(1, -1, tokens, tokens)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return layer
