"""The compact video encoder: what goes in and comes out, what it can see and when, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from mdsgen.geometry import DEMO, PAPER
from mdsgen.model.compact_video import CompactVideoEncoder
from tests.threads import one_thread

PICTURES, ONSETS = 4, 16  # of a column


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def encoder() -> CompactVideoEncoder:
    torch.manual_seed(0)
    return CompactVideoEncoder(DEMO).eval()


def test_it_has_at_most_two_million_parameters(encoder: CompactVideoEncoder) -> None:
    assert sum(parameter.numel() for parameter in encoder.parameters()) <= 2_000_000


@torch.no_grad()
def test_every_column_gets_a_unit_vector_and_behind_it_an_onset_cue_for_each_spectrogram_frame(
    encoder: CompactVideoEncoder,
) -> None:
    features = encoder(torch.rand(2, 3 * PICTURES, 3, 56, 56))
    assert features.shape == (2, 3, 512)
    embedding, cues = features[..., :-ONSETS], features[..., -ONSETS:]
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2, 3))
    assert cues.min() >= 0
    assert cues.max() <= 1


@torch.no_grad()
def test_a_vector_depends_on_the_pictures_around_it_and_on_no_others(encoder: CompactVideoEncoder) -> None:
    pictures = torch.rand(1, 20 * PICTURES, 3, 56, 56)
    changed = pictures.clone()
    changed[:, 10 * PICTURES] = 1 - changed[:, 10 * PICTURES]
    moved = (encoder(changed) - encoder(pictures)).norm(dim=-1)[0]  # [20]
    assert (moved[8:13] > 1e-4).all()
    assert (moved[:4] == 0).all()
    assert (moved[17:] == 0).all()


@torch.no_grad()
def test_it_tells_the_pictures_of_a_column_apart(encoder: CompactVideoEncoder) -> None:
    """A mean over the column would not: the same flash comes in its first or in its last picture."""
    dark = torch.zeros(1, 3 * PICTURES, 3, 56, 56)
    early, late = dark.clone(), dark.clone()
    early[:, PICTURES, :, 20:36, 20:36], late[:, 2 * PICTURES - 1, :, 20:36, 20:36] = 1.0, 1.0
    assert (encoder(early) - encoder(late))[0, 1].norm() > 1e-3


@torch.no_grad()
def test_it_sees_where_things_are(encoder: CompactVideoEncoder) -> None:
    """A mean over the picture would not tell a ball that is up from one that is down."""
    up, down = torch.zeros(2, 1, 2 * PICTURES, 3, 56, 56)
    up[..., 8:16, 24:32], down[..., 40:48, 24:32] = 1.0, 1.0
    assert (encoder(up) - encoder(down)).norm(dim=-1).min() > 1e-3


@pytest.mark.parametrize("geometry", [PAPER, replace(DEMO, frame_size=52), replace(DEMO, frame_rate=11.71875)])
def test_pictures_that_do_not_share_the_columns_are_refused(geometry: object) -> None:
    with pytest.raises(ValueError, match="needs pictures that share a column's 16 spectrogram frames"):
        CompactVideoEncoder(geometry)  # type: ignore[arg-type]
