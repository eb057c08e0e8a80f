"""The compact video encoder: what goes in and comes out, what it can see, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mdsgen.geometry import PICTURE_SIZE
from mdsgen.model.compact_video import CompactVideoEncoder
from tests.threads import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def encoder() -> CompactVideoEncoder:
    torch.manual_seed(0)
    return CompactVideoEncoder().eval()


def test_it_has_at_most_three_million_parameters(encoder: CompactVideoEncoder) -> None:
    assert sum(parameter.numel() for parameter in encoder.parameters()) <= 3_000_000


@torch.no_grad()
def test_every_frame_gets_a_unit_vector(encoder: CompactVideoEncoder) -> None:
    features = encoder(torch.rand(2, 3, 3, 224, 224))
    assert features.shape == (2, 3, 512)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 3))


@torch.no_grad()
def test_a_frame_is_averaged_down_to_a_small_picture(encoder: CompactVideoEncoder) -> None:
    pictures = torch.rand(1, 4, 3, PICTURE_SIZE, PICTURE_SIZE)
    frames = pictures.repeat_interleave(4, dim=3).repeat_interleave(4, dim=4)
    torch.testing.assert_close(encoder(frames), encoder.features(pictures))


@torch.no_grad()
def test_a_vector_depends_on_the_pictures_around_it_and_on_no_others(encoder: CompactVideoEncoder) -> None:
    pictures = torch.rand(1, 16, 3, PICTURE_SIZE, PICTURE_SIZE)
    changed = pictures.clone()
    changed[:, 8] = 1 - changed[:, 8]
    moved = (encoder.features(changed) - encoder.features(pictures)).norm(dim=-1)[0]  # [16]
    assert (moved[5:12] > 1e-4).all()
    assert (moved[:4] == 0).all()
    assert (moved[13:] == 0).all()


@torch.no_grad()
def test_it_sees_where_things_are(encoder: CompactVideoEncoder) -> None:
    """A mean over the picture would not tell a ball that is up from one that is down."""
    up, down = torch.zeros(2, 1, 2, 3, PICTURE_SIZE, PICTURE_SIZE)
    up[..., 8:16, 24:32], down[..., 40:48, 24:32] = 1.0, 1.0
    assert (encoder.features(up) - encoder.features(down)).norm(dim=-1).min() > 1e-3
