"""The reference of attention with a bias from its table is what the model computes."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.kernels.attention import attention, bias_rows

GRID, HEADS, WIDTH = (3, 5), 2, 4


def test_the_bias_of_a_pair_is_that_of_its_offset() -> None:
    rows, columns = GRID
    found = bias_rows(GRID)
    assert found.shape == (15, 15)
    assert found[0, 14] == 0  # from the first corner to the last: the most negative offset
    assert found[14, 0] == (2 * rows - 1) * (2 * columns - 1) - 1
    assert (np.diag(found) == found[0, 0]).all()
    for query in range(15):
        for key in range(15):
            row = query // columns - key // columns + rows - 1
            column = query % columns - key % columns + columns - 1
            assert found[query, key] == row * (2 * columns - 1) + column


def test_is_the_models_attention() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is in mdsgen[export]")
    from mdsgen.model.attention import Attention

    layer = Attention(GRID, HEADS * WIDTH, HEADS).double()
    for identity in (layer.proj, layer.qkv):
        torch.nn.init.zeros_(identity.bias)
    torch.nn.init.eye_(layer.proj.weight)
    torch.nn.init.normal_(layer.rel_pos_bias.relative_position_bias_table)
    x = torch.randn(2, 15, HEADS * WIDTH, dtype=torch.float64)
    with torch.no_grad():
        expected = layer(x).numpy()
        query, key, value = layer.qkv(x).reshape(2, 15, 3, HEADS, WIDTH).permute(2, 0, 1, 3, 4).numpy()
    table = layer.rel_pos_bias.relative_position_bias_table.detach().numpy()
    found = attention(query, key, value, table, GRID, WIDTH**-0.5).reshape(2, 15, HEADS * WIDTH)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
