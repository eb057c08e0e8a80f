"""Training scenes are filmed: the pictures are those that a film's reader would choose, and some are compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdsgen.geometry import DEMO
from mdsgen.media import read_frames
from mdsgen.scenes import sample_scene, write_video
from mdsgen.training.filming import RATES, compressed, filmed, shown


@pytest.mark.parametrize("rate", [8, 24, 25, 60])
def test_the_pictures_are_those_that_a_reader_of_the_film_chooses(rate: int, tmp_path: Path) -> None:
    """A film whose pictures count in their brightness is read back."""
    scene = sample_scene(1, duration=DEMO.duration)
    write_video(scene, tmp_path / "film.mp4", rate, 64, silent=True, quality=12)
    read = np.stack(list(read_frames(tmp_path / "film.mp4", DEMO.frame_rate, DEMO.frame_size)))[
        : DEMO.video_frames
    ]  # [T, 3, 56, 56]
    numbers = shown(rate, DEMO)
    made = np.stack(list(scene.shots(56, rate, numbers))).transpose(0, 3, 1, 2) / 255.0
    assert np.abs(read - made).mean() < 0.02
    late = np.stack(list(scene.shots(56, rate, [number + 2 for number in numbers]))).transpose(0, 3, 1, 2) / 255.0
    assert np.abs(read - made).mean() < np.abs(read - late).mean()


def test_a_scene_is_always_filmed_alike_and_scenes_by_several_films() -> None:
    first, again = (filmed(sample_scene(5, duration=DEMO.duration), DEMO) for _ in range(2))
    assert np.array_equal(first, again)
    assert (first.shape, first.dtype) == ((DEMO.video_frames, 56, 56, 3), np.uint8)
    assert len(set(RATES)) > 8


def test_the_same_pictures_are_compressed_alike_every_time() -> None:
    """Left to itself x264 is not: one film in five or ten differs."""
    pictures = np.stack(list(sample_scene(9, duration=4.0).shots(112, 25, range(50))))
    first, *others = (compressed(pictures, 25) for _ in range(12))
    assert all(np.array_equal(first, other) for other in others)


def test_a_worse_quality_leaves_less() -> None:
    pictures = np.stack(list(sample_scene(3, duration=DEMO.duration).shots(64, 25, range(8))))
    good, bad = (np.abs(compressed(pictures, quality).astype(int) - pictures).mean() for quality in (18, 40))
    assert 0 < good < bad
