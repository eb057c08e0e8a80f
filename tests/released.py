"""The small denoiser behind ``release_small.npz``: what it was given, what it gave, and its weights.

Importable without PyTorch; only :func:`released_state` needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

FIXTURES = Path(__file__).parent / "fixtures"
DECODE_LAYER = 2
TIMESTEPS = (999, 500, 0)
STEPS = (10, 25, 50)
TOLERANCE = 1e-5  # float32 and float64 of the published code differ by 4e-7


def golden() -> dict[str, np.ndarray]:
    """Inputs and outputs of the published implementation."""
    with np.load(FIXTURES / "release_small.npz") as file:
        return {name: file[name] for name in file.files}


def released_state() -> dict[str, torch.Tensor]:
    """Every entry of the file: the seeded weights, and the index buffers as BEiT defines them."""
    import torch

    from tests.seeded import read_keys, seeded_state

    keys = read_keys(FIXTURES / "release_small.keys.txt")
    weights, index = seeded_state(keys), torch.from_numpy(position_index(102, 8))
    return {name: weights.get(name, index) for name in keys}


def position_index(rows: int, columns: int) -> np.ndarray:
    """Which entry of the bias table belongs to each pair of tokens: one per row offset and column offset."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    row_offset, column_offset = row[:, None] - row, column[:, None] - column
    return (row_offset + rows - 1) * (2 * columns - 1) + column_offset + columns - 1


def relative_error(mine: np.ndarray, reference: np.ndarray) -> float:
    """The L2 norm of the difference over that of the reference."""
    return float(np.linalg.norm(np.asarray(mine, dtype=np.float64) - reference) / np.linalg.norm(reference))
