"""Temporal-aware masking: whole time columns, drawn evenly, in either axis order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.model.masking import Mask, sample_mask
from tests.geometries import TALL, WIDE, geometries

ratios = st.floats(0, 1, exclude_max=True)
any_geometry = st.sampled_from([PAPER, RELEASE, WIDE, TALL]) | geometries()


def drawn(geometry: Geometry, ratio: float, seed: int = 0, batch: int = 3) -> Mask:
    return sample_mask(geometry, batch, ratio, torch.Generator().manual_seed(seed))


def by_column(mask: Mask, geometry: Geometry) -> torch.Tensor:
    """``dropped`` as ``[B, time columns, frequency rows]``."""
    on_grid = mask.dropped.reshape(-1, *geometry.grid)
    return on_grid if geometry.time_axis == 0 else on_grid.transpose(1, 2)


@settings(max_examples=60)
@given(any_geometry, ratios, st.integers(0, 1000))
def test_a_time_column_is_kept_or_dropped_as_a_whole(geometry: Geometry, ratio: float, seed: int) -> None:
    columns = by_column(drawn(geometry, ratio, seed), geometry)
    assert columns.shape == (3, geometry.time_columns, geometry.frequency_rows)
    assert torch.equal(columns.all(dim=2), columns.any(dim=2))


@settings(max_examples=60)
@given(any_geometry, ratios, st.integers(0, 1000))
def test_keep_lists_what_is_not_dropped_in_ascending_order(geometry: Geometry, ratio: float, seed: int) -> None:
    mask = drawn(geometry, ratio, seed)
    for keep, dropped in zip(mask.keep, mask.dropped, strict=True):
        assert keep.tolist() == torch.nonzero(~dropped).flatten().tolist()


@settings(max_examples=80)
@given(any_geometry, st.integers(0, 99), st.integers(0, 1000))
def test_as_many_columns_are_kept_as_the_ratio_leaves_but_at_least_one(
    geometry: Geometry, percent: int, seed: int
) -> None:
    expected = max(1, geometry.time_columns * (100 - percent) // 100)  # in whole numbers: nothing to round
    mask = drawn(geometry, percent / 100, seed)
    assert mask.keep.shape == (3, expected * geometry.frequency_rows)
    assert (by_column(mask, geometry)[:, :, 0].logical_not().sum(dim=1) == expected).all()


@pytest.mark.parametrize(
    ("geometry", "ratio", "columns"), [(PAPER, 0.3, 22), (PAPER, 0.5, 16), (RELEASE, 0.3, 71), (RELEASE, 0.999, 1)]
)
def test_published_ratios_leave_these_many(geometry: Geometry, ratio: float, columns: int) -> None:
    assert drawn(geometry, ratio).keep.shape == (3, columns * 8)


def test_a_ratio_is_not_lost_to_rounding() -> None:
    """In floating point, 20 · (1 - 0.9) is a little less than 2."""
    assert drawn(replace(WIDE, width=40), 0.9).keep.shape == (3, 2 * WIDE.frequency_rows)


@pytest.mark.parametrize("geometry", [PAPER, TALL], ids=lambda g: g.name)
def test_every_column_is_dropped_equally_often(geometry: Geometry) -> None:
    often = by_column(drawn(geometry, 0.5, batch=4000), geometry)[:, :, 0].float().mean(dim=0)
    torch.testing.assert_close(often, torch.full_like(often, 0.5), atol=0.05, rtol=0)


def test_clips_and_seeds_differ_and_a_seed_repeats() -> None:
    first, again, other = drawn(PAPER, 0.5, seed=1), drawn(PAPER, 0.5, seed=1), drawn(PAPER, 0.5, seed=2)
    assert torch.equal(first.keep, again.keep)
    assert torch.equal(first.dropped, again.dropped)
    assert not torch.equal(first.keep, other.keep)
    assert not torch.equal(first.keep[0], first.keep[1])


def test_without_a_generator_the_global_one_draws() -> None:
    torch.manual_seed(5)
    first = sample_mask(PAPER, 2, 0.5)
    torch.manual_seed(5)
    assert torch.equal(sample_mask(PAPER, 2, 0.5).keep, first.keep)


@settings(max_examples=30)
@given(any_geometry, ratios, st.integers(0, 1000))
def test_restoring_what_was_selected_fills_the_rest(geometry: Geometry, ratio: float, seed: int) -> None:
    mask = drawn(geometry, ratio, seed)
    x, fill = torch.randn(3, geometry.tokens, 4), torch.full((1, 1, 4), 7.0)
    restored = mask.restore(mask.select(x), fill)
    assert torch.equal(restored, torch.where(mask.dropped[:, :, None], fill, x))


@pytest.mark.parametrize("ratio", [1.0, -0.1, 2.0, float("nan")])
def test_an_impossible_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="mask ratio must be at least 0 and below 1, not"):
        sample_mask(PAPER, 2, ratio)
