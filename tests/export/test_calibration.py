"""Calibration: which clips, in which order, and that the same ones give the same."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from mdsgen.bundle import DENOISER, Bundle
from mdsgen.errors import ExportError, MediaError
from mdsgen.export.activations import Activations
from mdsgen.export.calibration import Calibration, calibrate
from mdsgen.export.calibration_clips import LEAST_CLIPS, CalibrationClip, CalibrationOptions
from mdsgen.geometry import PAPER
from mdsgen.runtime import Networks
from tests.export.conftest import SAMPLING, run, still_clips
from tests.geometries import WIDE
from tests.media.conftest import Renderer

Run = Callable[..., Calibration]


@pytest.fixture(scope="module")
def networks(bundles: dict[str, Bundle]) -> Iterator[Networks]:
    with Networks(bundles["fp32"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def calibrated(networks: Networks, graphs: dict[str, dict[str, onnx.ModelProto]], frames: np.ndarray) -> Run:
    """Calibrate the small model's denoiser on still clips, three steps each."""

    def call(count: int = LEAST_CLIPS, seed: int = 0, **how: object) -> Calibration:
        watched = Activations(copy.deepcopy(graphs["fp32"][DENOISER]))
        options = dataclasses.replace(still_clips(frames, count), seed=seed)
        return calibrate(networks, watched, options, SAMPLING, **how)  # type: ignore[arg-type]

    return call


# Which clips


def test_scenes_are_others_than_evaluation_has_and_follow_the_seed() -> None:
    clips = CalibrationOptions().of(WIDE)
    assert [clip.name for clip in clips] == [f"scene {200_000 + n}" for n in range(8)]
    assert [clip.name for clip in CalibrationOptions(scenes=5, seed=7).of(WIDE)] == [
        f"scene {200_007 + n}" for n in range(5)
    ]
    first, second = (clip.frames() for clip in clips[:2])
    assert (first.shape, first.dtype) == ((WIDE.video_frames, 3, WIDE.frame_size, WIDE.frame_size), np.float32)
    assert 0 <= first.min() < first.max() <= 1
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, CalibrationOptions().of(WIDE)[0].frames())


@pytest.fixture
def folder(film: Renderer, tmp_path: Path) -> Path:
    """Four videos and what else may lie beside them."""
    videos = tmp_path / "videos"
    videos.mkdir()
    film("one.mp4", frames=4, rate=4)
    for name in ("b.mp4", "a.MKV", "d.webm", "c.mov"):
        shutil.copy(film.folder / "one.mp4", videos / name)
    (videos / "a.txt").write_text("notes")
    return videos


def test_a_folder_s_videos_are_taken_by_name(folder: Path) -> None:
    clips = CalibrationOptions(videos=folder).of(PAPER)
    assert [clip.name for clip in clips] == ["a.MKV", "b.mp4", "c.mov", "d.webm"]
    assert clips[0].frames().shape == (PAPER.video_frames, 3, 224, 224)


def test_a_folder_that_is_none_is_named(folder: Path) -> None:
    for path in (folder / "none", folder / "b.mp4"):
        with pytest.raises(ExportError, match=f"there is no folder {path} with videos"):
            CalibrationOptions(videos=path)


def test_a_folder_without_videos_says_what_they_are_called(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=rf"no videos in {tmp_path}: expected files that end in .*\.avi, .*\.mp4, "):
        CalibrationOptions(videos=tmp_path)


def test_too_few_clips_are_refused_wherever_they_come_from(folder: Path, calibrated: Run) -> None:
    (folder / "b.mp4").unlink()
    with pytest.raises(ExportError, match=f"on 4 clips or more, not on 3 videos in {folder}: add some"):
        CalibrationOptions(videos=folder)
    for name in ("a.MKV", "c.mov"):
        (folder / name).unlink()
    with pytest.raises(ExportError, match=f"not on 1 video in {folder}: add some"):
        CalibrationOptions(videos=folder)
    with pytest.raises(ExportError, match="on 4 clips or more, not on 2 scenes"):
        CalibrationOptions(scenes=2)
    with pytest.raises(ExportError, match="on 4 clips or more, not on 3 clips"):
        calibrated(3)


def test_all_videos_that_cannot_be_read_are_named_at_once(folder: Path) -> None:
    for name in ("a.MKV", "c.mov"):
        (folder / name).write_text("not a video")
    with pytest.raises(ExportError, match=r"2 of 4 videos cannot be calibrated on: .*a\.MKV .*c\.mov ") as caught:
        CalibrationOptions(videos=folder)
    assert "b.mp4" not in str(caught.value)


def test_a_video_that_breaks_later_is_named(
    folder: Path, networks: Networks, graphs: dict[str, dict[str, onnx.ModelProto]]
) -> None:
    options = CalibrationOptions(CalibrationOptions(videos=folder).of(PAPER))
    (folder / "a.MKV").write_text("not a video any more")
    with pytest.raises(ExportError, match=r"a\.MKV cannot be calibrated on: ") as caught:
        calibrate(networks, Activations(graphs["fp32"][DENOISER]), options, SAMPLING)
    assert isinstance(caught.value.__cause__, MediaError)


# What it finds


def test_every_step_of_every_clip_is_watched_and_some_passes_are_kept_to_compare_with(
    calibrated: Run, denoiser: onnx.ModelProto
) -> None:
    lines: list[str] = []
    found = calibrated(5, report=lines.append)
    assert [line.partition(" (")[0] for line in lines] == [f"calibrating on clip {n + 1} of 5" for n in range(5)]
    assert found.passes == 5 * SAMPLING.steps
    assert len(found.feeds) == 2 * 3, "of the first two clips, at three steps each"
    feed = found.feeds[-1]
    expected = run(denoiser, [{"latent": feed.latent, "modulations": feed.modulations}])[0]
    np.testing.assert_allclose(feed.noise, expected, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(feed.noise[0], feed.noise[1]), "both branches, the modulations of each"


def test_the_same_seed_gives_the_same_to_the_bit_and_another_one_another(calibrated: Run) -> None:
    one, same, other = calibrated(), calibrated(), calibrated(seed=1)
    assert one.maxima.keys() == same.maxima.keys() == other.maxima.keys()
    for name, values in one.maxima.items():
        np.testing.assert_array_equal(values, same.maxima[name])
        assert not np.array_equal(values, other.maxima[name])
    for feed, again in zip(one.feeds, same.feeds, strict=True):
        assert [*map(np.ndarray.tobytes, vars(feed).values())] == [*map(np.ndarray.tobytes, vars(again).values())]


def test_no_two_clips_start_from_the_same_noise(networks: Networks, denoiser: onnx.ModelProto) -> None:
    same = partial(np.full, (PAPER.video_frames, 3, 224, 224), 0.5, np.float32)
    options = CalibrationOptions([CalibrationClip("still", same)] * LEAST_CLIPS)
    found = calibrate(networks, Activations(denoiser), options, SAMPLING)
    one, other = (feed.latent for feed in found.feeds[::3])
    assert not np.array_equal(one, other)


def test_it_says_what_it_used(calibrated: Run) -> None:
    assert calibrated(seed=3).describe() == {
        "clips": [f"clip {n}" for n in range(LEAST_CLIPS)],
        "seed": 3,
        "passes": LEAST_CLIPS * SAMPLING.steps,
    }
