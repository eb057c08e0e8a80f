"""Attention on the device: the reference's, whatever the grid, and however queries, keys and values lie in memory."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels.attention import attention, bias_rows
from mdsgen.kernels.launch import attention_launch
from tests.kernels.machines import HostLibraries, Machine

HEAD = 64
GRIDS = [(1, 1), (3, 5), (9, 8), (2, 70)]  # 1, 15, 72 and 140 tokens: less than a tile, a bit more, and over two


def tensors(grid: tuple[int, int], heads: int, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Queries, keys and values side by side, float16 ``[B, N, 3, heads, 64]``, and a table that matters."""
    rows, columns = grid
    random = np.random.default_rng(rows * columns)
    joined = random.standard_normal((batch, rows * columns, 3, heads, HEAD)).astype(np.float16)
    table = random.standard_normal(((2 * rows - 1) * (2 * columns - 1) + 3, heads), np.float32) * 2
    return joined, table


def run(
    machine: Machine, joined: np.ndarray, table: np.ndarray, grid: tuple[int, int], scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel makes of the three thirds of one tensor, and the reference."""
    batch, tokens, _, heads, _ = joined.shape
    held, rows = machine.hold(joined), machine.hold(table)
    out = machine.hold(np.zeros((batch, tokens, heads, HEAD), np.float16))
    third = heads * HEAD * 2  # bytes
    places = [held.address + i * third for i in range(3)]
    launch = attention_launch(
        out=out.address,
        query=places[0],
        key=places[1],
        value=places[2],
        table=rows.address,
        batch=batch,
        grid=grid,
        heads=heads,
        stride=3 * heads * HEAD,
        scale=scale,
    )
    machine.launch(launch)
    return out.read(), attention(joined[:, :, 0], joined[:, :, 1], joined[:, :, 2], table, grid, scale)


def signal_to_noise(found: np.ndarray, exact: np.ndarray) -> float:
    """In dB; no more than 200."""
    signal = np.linalg.norm(exact)
    return float(20 * np.log10(signal / max(np.linalg.norm(found - exact), 1e-10 * signal)))


@pytest.mark.parametrize("grid", GRIDS)
def test_equals_the_reference_to_half_precision(machine: Machine, grid: tuple[int, int]) -> None:
    found, exact = run(machine, *tensors(grid, heads=2), grid, HEAD**-0.5)
    assert signal_to_noise(found, exact) > 65
    np.testing.assert_allclose(found, exact, rtol=0, atol=4e-3)


def test_every_clip_of_a_batch_is_attended_to_on_its_own(machine: Machine) -> None:
    joined, table = tensors((3, 5), heads=1, batch=3)
    found, exact = run(machine, joined, table, (3, 5), 1.0)
    assert signal_to_noise(found, exact) > 60


def test_scores_of_any_size_do_not_overflow(machine: Machine) -> None:
    joined, table = tensors((9, 8), heads=1)
    joined[:, :, :2] *= 30  # scores up to about 60 000
    found, exact = run(machine, joined, table * 1000, (9, 8), 1.0)
    assert signal_to_noise(found, exact) > 40


@pytest.mark.gpu
@pytest.mark.parametrize(("grid", "heads"), [((102, 8), 12), ((8, 32), 3)], ids=["release Base", "paper Tiny"])
def test_the_models_own_sizes(gpu: Machine, grid: tuple[int, int], heads: int) -> None:
    found, exact = run(gpu, *tensors(grid, heads, batch=2), grid, HEAD**-0.5)
    assert signal_to_noise(found, exact) > 60


@pytest.mark.parametrize("grid", [(1, 1), (8, 32), (102, 8), (5, 1)])
def test_a_difference_of_codes_is_the_table_row(libraries: HostLibraries, grid: tuple[int, int]) -> None:
    tokens = grid[0] * grid[1]
    rows = np.empty((tokens, tokens), np.int32)
    libraries["attention"].bias_rows(ctypes.c_void_p(rows.ctypes.data), tokens, grid[1])
    np.testing.assert_array_equal(rows, bias_rows(grid))


@pytest.mark.parametrize("tile", [1, 7, 64])
def test_softmax_tile_by_tile_is_softmax(libraries: HostLibraries, tile: int) -> None:
    random = np.random.default_rng(tile)
    products, biases = random.standard_normal((2, 100)).astype(np.float32) * 5
    products[60] = 40  # late, and far above the others
    values = random.standard_normal((100, 3)).astype(np.float32)
    out = np.empty(3, np.float32)
    arrays = [ctypes.c_void_p(array.ctypes.data) for array in (out, products, biases, values)]
    libraries["attention"].attend_tile_by_tile(*arrays, 100, 3, tile, ctypes.c_float(0.5))
    scores = products.astype(np.float64) * 0.5 + biases
    weights = np.exp(scores - scores.max())
    np.testing.assert_allclose(out, weights @ values / weights.sum(), rtol=0, atol=1e-6)


def launch(**changed: object) -> object:
    settings = {"out": 0, "query": 0, "key": 0, "value": 0, "table": 0, "batch": 2, "grid": (102, 8), "heads": 12}
    return attention_launch(**{**settings, **changed})  # type: ignore[arg-type]


def test_a_launch_covers_all_queries() -> None:
    made = attention_launch(out=0, query=0, key=0, value=0, table=0, batch=2, grid=(102, 8), heads=12)
    assert made.grid == (13, 12, 2)
    assert made.threads == 128
    # Tiles of keys and values, codes of the keys, and 109 of the 203 rows of 15 offsets.
    assert made.shared == 2 * 64 * 72 * 2 + 64 * 4 + 109 * 15 * 4
    assert made.arguments[5:] == (12 * 64, 816, 8, 0.125)


def test_what_the_kernel_cannot_do_is_refused() -> None:
    for changed, complaint in [
        ({"grid": (0, 8)}, "cannot attend"),
        ({"stride": 64}, "cannot attend"),
        ({"stride": 12 * 64 + 4}, "multiples"),
        ({"key": 8}, "multiples"),
        ({"grid": (100, 100)}, "more than 49152: use the bias as a tensor"),
    ]:
        with pytest.raises(KernelError, match=complaint):
            launch(**changed)
