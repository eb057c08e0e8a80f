"""The Reducer: what it computes, and that a frame's weight is its own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.model.reducer import FrameColumns, FramePooling, FrameProjection
from tests.geometries import BRISK

TALL_COLUMNS = replace(PAPER, name="tall", height=64, width=16, time_axis=0)


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def normalised(x: torch.Tensor, layer: torch.nn.LayerNorm) -> torch.Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / centred.square().mean(dim=-1, keepdim=True).sqrt() * layer.weight + layer.bias


def test_every_frame_is_projected_by_itself() -> None:
    projection = FrameProjection(channels=512, width=24).double()
    features = torch.randn(2, 5, 512, dtype=torch.float64)
    linear, _, norm = projection
    expected = normalised(gelu(features @ linear.weight.T + linear.bias), norm)
    torch.testing.assert_close(projection(features), expected)


def test_pooling_is_a_weighted_sum_over_the_frames() -> None:
    pooling = FramePooling(frames=5, width=24).double()
    frames = torch.randn(2, 5, 24, dtype=torch.float64)
    conv, _, norm = pooling
    weighted = sum(weight * frames[:, i] for i, weight in enumerate(conv.weight[0, :, 0])) + conv.bias
    reduced = pooling(frames)
    assert reduced.shape == (2, 24)
    torch.testing.assert_close(reduced, normalised(gelu(weighted), norm))


def test_a_frame_without_weight_does_not_matter() -> None:
    pooling = FramePooling(frames=4, width=24)
    torch.nn.init.zeros_(pooling.state_dict()["0.weight"][0, 2])
    frames = torch.randn(1, 4, 24)
    changed = frames.clone()
    changed[:, 2] = 100.0
    assert torch.equal(pooling(changed), pooling(frames))


def test_nearly_equal_values_are_still_normalised() -> None:
    """The epsilon is 1e-12: a variance of 1e-8 must come out as 1, not be flattened."""
    projection = FrameProjection(channels=512, width=24).double()
    projection.state_dict()["0.weight"].mul_(1e-3)
    out = projection(torch.randn(1, 3, 512, dtype=torch.float64))
    torch.testing.assert_close(
        out.var(dim=-1, unbiased=False), torch.ones(1, 3, dtype=torch.float64), rtol=1e-2, atol=0
    )


@pytest.mark.parametrize(
    ("module", "name"), [(FrameProjection(512, 64), "0.weight"), (FramePooling(512, 64), "0.weight")]
)
def test_starts_with_small_weights(module: torch.nn.Module, name: str) -> None:
    assert module.state_dict()[name].std() == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("geometry", [PAPER, TALL_COLUMNS], ids=["time last", "time first"])
def test_columns_reach_all_tokens_of_their_time_and_no_others(geometry: Geometry) -> None:
    columns = FrameColumns(geometry, width=4)
    told = torch.zeros(1, geometry.time_columns, 4)
    told[:, 2] = 1.0
    grid = columns.of_tokens(told)[0, :, 0].reshape(geometry.grid)
    by_time = grid if geometry.time_axis == 0 else grid.T  # [columns, rows]
    assert (by_time[2] == 1).all()
    assert by_time.sum() == geometry.frequency_rows


def test_columns_need_one_feature_each() -> None:
    with pytest.raises(ValueError, match="102 time columns for 32 features of its video"):
        FrameColumns(RELEASE, width=4)
    assert FrameColumns(BRISK, width=4).geometry.video_frames == 128, "of which each feature sums up four"
