"""Attention with a relative position bias: the NumPy reference of the kernel that reads the bias from its table."""

from __future__ import annotations

import numpy as np


def bias_rows(grid: tuple[int, int]) -> np.ndarray:
    """Which row of the table belongs to each query and key, ``[N, N]``: row offset, then column offset."""
    rows, columns = grid
    row, column = np.divmod(np.arange(rows * columns), columns)  # [N]
    row_offset = row[:, None] - row + rows - 1  # [N, N], 0 … 2·rows − 2
    column_offset = column[:, None] - column + columns - 1
    of_pair: np.ndarray = row_offset * (2 * columns - 1) + column_offset
    return of_pair


def attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, table: np.ndarray, grid: tuple[int, int], scale: float
) -> np.ndarray:
    """``query``, ``key``, ``value [B, N, heads, d]``, ``table [offsets, heads]`` -> ``[B, N, heads, d]``, float64."""
    query, key, value, table = (array.astype(np.float64) for array in (query, key, value, table))
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) * scale  # [B, heads, N, N]
    scores += table[bias_rows(grid)].transpose(2, 0, 1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    attended: np.ndarray = np.einsum("bhqk,bkhd->bqhd", weights, value)
    return attended
