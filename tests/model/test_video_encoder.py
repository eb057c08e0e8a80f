"""The video encoder against the published implementation, and what its features promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdsgen.model.video_encoder import VideoEncoder
from tests.seeded import FIXTURES, read_keys, seeded_state

AUDIO_HALF = ("spec_encoder.", "logit_scale")


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[tuple[int, ...], str]]:
    published = read_keys(FIXTURES / "cavp.keys.txt")
    return {name: entry for name, entry in published.items() if not name.startswith(AUDIO_HALF)}


@pytest.fixture(scope="module")
def encoder(keys: dict[str, tuple[tuple[int, ...], str]]) -> VideoEncoder:
    encoder = VideoEncoder().eval()
    encoder.load_state_dict(seeded_state(keys), strict=False)
    return encoder


def small_frames(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def features(encoder: VideoEncoder, frames: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(frames)


def test_names_shapes_and_dtypes_are_the_checkpoints(encoder: VideoEncoder, keys: dict[str, object]) -> None:
    mine = {name: (tuple(value.shape), str(value.dtype)) for name, value in encoder.state_dict().items()}
    assert mine == keys


def test_equals_the_published_implementation(encoder: VideoEncoder) -> None:
    golden = np.load(FIXTURES / "cavp_video.npz")["features"]
    frames = np.random.default_rng(11).random((1, 6, 3, 224, 224)).astype(np.float32)
    mine = features(encoder, torch.from_numpy(frames)).numpy()
    assert mine.shape == golden.shape == (1, 6, 512)
    assert np.linalg.norm(mine - golden) / np.linalg.norm(golden) < 1e-5


def test_every_frame_has_a_vector_of_length_one(encoder: VideoEncoder) -> None:
    lengths = features(encoder, small_frames(3)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(1, 3))


def test_clips_of_a_batch_do_not_touch_each_other(encoder: VideoEncoder) -> None:
    first, second = small_frames(3, seed=1), small_frames(3, seed=2)
    together = features(encoder, torch.cat([first, second]))
    torch.testing.assert_close(together, torch.cat([features(encoder, first), features(encoder, second)]))


def test_a_frame_reaches_as_far_as_the_nine_temporal_kernels(encoder: VideoEncoder) -> None:
    frames = small_frames(21)
    changed = frames.clone()
    changed[:, 10] = 1 - changed[:, 10]
    moved = (features(encoder, frames) - features(encoder, changed)).abs().amax(dim=-1)[0]
    assert moved.argmax() == 10
    assert torch.nonzero(moved).flatten().tolist() == list(range(1, 20))


def test_one_frame_alone_is_enough(encoder: VideoEncoder) -> None:
    assert features(encoder, small_frames(1)).shape == (1, 1, 512)
