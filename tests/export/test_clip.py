"""The clip of the verification: a window of moving pictures, rendered or of any video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.export.clip import verification_frames
from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.media import probe, read_frames
from tests.media.conftest import Renderer


@pytest.mark.parametrize("geometry", [PAPER, RELEASE], ids=lambda geometry: geometry.name)
def test_the_rendered_clip_is_one_window(geometry: Geometry) -> None:
    frames = verification_frames(geometry)
    assert frames.shape == (geometry.video_frames, 3, geometry.frame_size, geometry.frame_size)
    assert frames.dtype == np.float32
    assert 0 <= frames.min() < frames.max() <= 1


def test_the_rendered_clip_moves_has_texture_and_is_the_same_every_time() -> None:
    frames = verification_frames(PAPER)
    assert np.array_equal(frames, verification_frames(PAPER))
    assert np.abs(np.diff(frames, axis=0)).mean() > 1e-3
    assert np.abs(np.diff(frames, axis=3)).mean() > 1e-3
    assert np.abs(frames[:, 0] - frames[:, 2]).mean() > 0.01  # in colour


def test_a_video_s_first_window_is_read_as_the_runtime_reads_it(film: Renderer) -> None:
    path = film("long.mp4", frames=40, rate=4)
    frames = verification_frames(PAPER, path)
    assert frames.shape == (PAPER.video_frames, 3, 224, 224)
    expected = np.stack(list(read_frames(probe(path), 4, 224, duration=PAPER.duration)))[: PAPER.video_frames]
    np.testing.assert_array_equal(frames, expected)


def test_a_short_video_ends_in_its_last_frame(film: Renderer) -> None:
    path = film("short.mp4", frames=8, rate=4)
    frames = verification_frames(PAPER, path)
    np.testing.assert_array_equal(frames[:8], np.stack(list(read_frames(probe(path), 4, 224))))
    np.testing.assert_array_equal(frames[8:], np.broadcast_to(frames[7], frames[8:].shape))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    for path in (tmp_path / "notes.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(MediaError, match=path.name):
            verification_frames(PAPER, path)
