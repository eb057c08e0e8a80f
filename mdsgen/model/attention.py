"""Self-attention with a relative position bias per head (BEiT; Bao et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RelativePositionBias(nn.Module):
    """A learned number per head for every offset between two tokens of the grid.

    The table has three rows more than there are offsets: BEiT's, for a class token that this model does not have. They
    are kept so that the release's files fit.
    """

    relative_position_index: Tensor

    def __init__(self, grid: tuple[int, int], heads: int) -> None:
        super().__init__()
        rows, columns = grid
        offsets = (2 * rows - 1) * (2 * columns - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(offsets + 3, heads))
        self.register_buffer("relative_position_index", relative_position_index(grid))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, keep: Tensor | None = None) -> Tensor:
        """The bias of all tokens ``[1, heads, N, N]``, or of the kept ones (``keep [B, K]``) ``[B, heads, K, K]``."""
        index = self.relative_position_index[None]  # [1, N, N]
        if keep is not None:
            index = self.relative_position_index[keep[:, :, None], keep[:, None, :]]  # [B, K, K]
        return self.relative_position_bias_table[index].permute(0, 3, 1, 2)  # [·, heads, ·, ·]


def relative_position_index(grid: tuple[int, int]) -> Tensor:
    """Which row of the table belongs to each pair of tokens, ``[N, N]``: row offset, then column offset."""
    rows, columns = grid
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    row, column = row.flatten(), column.flatten()  # [N]
    row_offset = row[:, None] - row[None, :] + rows - 1  # [N, N], 0 … 2·rows − 2
    column_offset = column[:, None] - column[None, :] + columns - 1
    return row_offset * (2 * columns - 1) + column_offset


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one clip."""

    def __init__(self, grid: tuple[int, int], width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_bias = RelativePositionBias(grid, heads)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """``x [B, N, D]``; ``keep [B, N]`` names the grid positions of ``x`` where only some tokens are present."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)  # [B, N, 3, h, d]
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [B, h, N, d] each
        bias = self.rel_pos_bias(keep)  # [1 or B, h, N, N]
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)  # [B, h, N, d]
        x = self.proj(x.transpose(1, 2).reshape(batch, tokens, width))  # [B, N, D]
        return x
