"""The attention of the exported step computes what the model's computes, from a smaller index."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mdsgen.export.attention import RowwiseBias, StepAttention
from mdsgen.model.attention import Attention, RelativePositionBias

GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=30)
@given(grid=GRIDS, heads=st.integers(1, 3))
def test_rows_put_together_are_the_biases_looked_up_one_by_one(grid: tuple[int, int], heads: int) -> None:
    bias = RelativePositionBias(grid, heads)
    assert torch.equal(RowwiseBias(bias, grid)(), bias())


@settings(max_examples=15)
@given(grid=GRIDS, heads=st.integers(1, 3), batch=st.integers(1, 2))
def test_it_is_the_model_s_attention(grid: tuple[int, int], heads: int, batch: int) -> None:
    attention = Attention(grid, 8 * heads, heads).requires_grad_(False)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(batch, grid[0] * grid[1], 8 * heads)
    torch.testing.assert_close(StepAttention(attention, grid)(x), attention(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("grid", [(102, 8), (8, 32)])
def test_the_index_is_a_row_of_the_grid_shorter(grid: tuple[int, int]) -> None:
    bias = RowwiseBias(RelativePositionBias(grid, 1), grid)
    rows, columns = grid
    assert bias.index.shape == (rows * columns, rows)
    assert bias.offsets.numel() == (2 * rows - 1) * columns**2
