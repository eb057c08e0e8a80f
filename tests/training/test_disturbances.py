"""Training pictures are disturbed clip by clip, and stay pictures."""

from __future__ import annotations

import numpy as np
import torch

from mdsgen.training.disturbances import Disturbances

NONE = Disturbances(light=0.0, tint=0.0, shift=0, shake=0)


def films(count: int = 16, time: int = 6) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, time, 16, 16, 3), dtype=np.uint8))


def disturbed(how: Disturbances, pictures: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return how(pictures, torch.Generator().manual_seed(seed))


def test_a_seed_disturbs_alike_and_each_clip_in_its_own_way() -> None:
    same = films(1).expand(2, -1, -1, -1, -1)
    first, again, other = (disturbed(Disturbances(), same, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert (first.shape, first.dtype) == (same.shape, torch.uint8)


def test_without_strength_pictures_are_at_most_mirrored_and_softened() -> None:
    found = disturbed(NONE, films())
    kept = sum(torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(films(), found, strict=True))
    assert 8 <= kept < 16


def test_light_changes_for_a_whole_clip_alike() -> None:
    grey = torch.full((8, 6, 16, 16, 3), 128, dtype=torch.uint8)
    found = disturbed(Disturbances(shift=0, shake=0), grey).float()
    assert found.std(dim=(1, 2, 3)).max() == 0
    assert found[:, 0, 0, 0].std(dim=0).min() > 3


def test_most_clips_move_as_a_whole_and_some_shake() -> None:
    spot = torch.zeros((32, 8, 16, 16, 3), dtype=torch.uint8)
    spot[:, :, 7:9, 7:9] = 255
    found = disturbed(Disturbances(light=0.0, tint=0.0), spot)
    shakes = [any(not torch.equal(picture, clip[0]) for picture in clip) for clip in found]
    assert 2 <= sum(shakes) <= 16
