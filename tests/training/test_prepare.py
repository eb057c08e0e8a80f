"""Clips from films and from scenes: what is usable is used, what is not is listed, and nothing is done twice."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import DatasetError
from mdsgen.geometry import RELEASE, SAMPLE_RATE, Geometry
from mdsgen.media import probe, read_pictures, read_sound
from mdsgen.model.audio import AudioCodec, audioldm_autoencoder, hifigan
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.training import videos
from mdsgen.training.clips import in_parallel, log_mel, prepare_scenes, scene_fields
from mdsgen.training.published import PublishedClips
from mdsgen.training.recipe import load_recipe
from mdsgen.training.shards import Shards, shard_path
from mdsgen.training.videos import CompactClips, prepare_videos
from mdsgen.weights import save_audioldm
from tests.media.conftest import Renderer
from tests.training.datasets import TINY

WINDOW = TINY.duration  # 2.048 s


def tone(seconds: float, pitch: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def films(film: Renderer) -> list[Path]:
    """Good and bad: 2½ windows, one window in a folder of its own, and four that are of no use."""
    (film.folder / "deep" / "er").mkdir(parents=True)
    good = [
        film("a.mp4", frames=40, rate=8, sound=tone(5.2)),  # 5 s: two windows and 0.9 s
        film("deep/er/b.mkv", frames=20, rate=8, sound=tone(1.0)),  # 2.5 s, of which the last 1.5 s are silent
    ]
    bad = [
        film("short.mp4", frames=6, rate=8, sound=tone(0.7)),
        film("silent.mp4", frames=40, rate=8),
        film.folder / "cut.mp4",
        film.folder / "text.mp4",
    ]
    bad[2].write_bytes(good[0].read_bytes()[: good[0].stat().st_size // 2])
    bad[3].write_text("no film")
    return sorted(good + bad)


def prepare(films: list[Path], folder: Path, **options: object) -> list[str]:
    lines: list[str] = []
    root = min(path.parent for path in films)
    prepare_videos(folder, root, films, CompactClips(TINY), report=lines.append, **options)  # type: ignore[arg-type]
    return lines


def test_every_window_becomes_a_clip_and_says_where_it_is_from(films: list[Path], tmp_path: Path) -> None:
    lines = prepare(films, tmp_path / "clips")
    assert rows(tmp_path / "clips" / "clips.csv") == [
        {"clip": "0", "file": "a.mp4", "second": "0.000"},
        {"clip": "1", "file": "a.mp4", "second": "2.048"},
        {"clip": "2", "file": "deep/er/b.mkv", "second": "0.000"},
    ]
    clips = Shards(tmp_path / "clips")
    assert (len(clips), clips.fields) == (3, ("frames", "log_mel", "sound"))
    assert clips.description["geometry"] == TINY.to_dict()
    assert lines[-1] == f"3 clips of 6 files; 4 skipped, see {tmp_path / 'clips' / 'skipped.csv'}"


def test_what_cannot_be_used_is_listed_with_its_reason(films: list[Path], tmp_path: Path) -> None:
    prepare(films, tmp_path / "clips")
    reasons = {row["file"]: row["reason"] for row in rows(tmp_path / "clips" / "skipped.csv")}
    assert set(reasons) == {"cut.mp4", "short.mp4", "silent.mp4", "text.mp4"}
    assert "lasts 0.750 s: expected half of 2.048 s at least" in reasons["short.mp4"]
    assert "has no sound track" in reasons["silent.mp4"]


def test_pictures_and_sound_are_those_of_the_window(films: list[Path], tmp_path: Path) -> None:
    prepare(films, tmp_path / "clips")
    clips, info = Shards(tmp_path / "clips"), probe(films[0])
    whole = np.stack(list(read_pictures(info, TINY.frame_rate, TINY.frame_size, start=WINDOW)))
    assert np.array_equal(clips.clip("frames", 1), whole[: TINY.video_frames])
    sound = np.concatenate(list(read_sound(info, start=WINDOW)))[: TINY.samples]
    np.testing.assert_allclose(clips.clip("sound", 1) / 32767, sound, atol=1e-4)
    assert np.array_equal(clips.clip("log_mel", 1), log_mel(clips.clip("sound", 1)[None], TINY)[0])


def test_a_last_window_that_is_not_whole_ends_in_silence_under_the_last_picture(film: Renderer, tmp_path: Path) -> None:
    path = film("a.mp4", frames=12, rate=8, sound=tone(1.5))  # 1.5 s
    prepare([path], tmp_path / "clips")
    clips = Shards(tmp_path / "clips")
    sound, frames = clips.clip("sound", 0), clips.clip("frames", 0)
    assert np.abs(sound[:SAMPLE_RATE]).max() > 5000
    assert np.abs(sound[round(1.6 * SAMPLE_RATE) :]).max() == 0
    last = 21  # the first picture that is taken after the film's last one came, at 1.375 s
    assert all(np.array_equal(picture, frames[last]) for picture in frames[last:])
    assert not np.array_equal(frames[last], frames[last - 1])


def test_shards_that_are_there_are_kept(films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "_GROUP_FILES", 2)
    folder = tmp_path / "clips"
    assert [line.split("  ")[0] for line in prepare(films, folder) if "prepared" in line] == [
        "1 of 3 shards prepared",
        "2 of 3 shards prepared",
        "3 of 3 shards prepared",
    ]
    tables = [(folder / name).read_text() for name in ("clips.csv", "skipped.csv")]
    shutil.rmtree(shard_path(folder, 1))
    assert [line.split("  ")[0] for line in prepare(films, folder) if "prepared" in line] == ["3 of 3 shards prepared"]
    assert [(folder / name).read_text() for name in ("clips.csv", "skipped.csv")] == tables
    assert len(Shards(folder)) == 3


def test_several_workers_make_the_same(films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "_GROUP_FILES", 3)
    prepare(films, tmp_path / "one")
    prepare(films, tmp_path / "two", spread=partial(in_parallel, workers=2))
    one, two = Shards(tmp_path / "one"), Shards(tmp_path / "two")
    assert all(np.array_equal(one.batch(name, range(3)), two.batch(name, range(3))) for name in one.fields)  # type: ignore[arg-type]
    assert rows(tmp_path / "one" / "skipped.csv") == rows(tmp_path / "two" / "skipped.csv")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are texts there")
def test_a_film_whose_name_is_no_text_is_used_or_listed_and_the_others_are_used(film: Renderer, tmp_path: Path) -> None:
    good = film("a.mp4", frames=20, rate=8, sound=tone(2.5))
    odd = Path(os.fsdecode(os.fsencode(film.folder) + b"/caf\xe9.mp4"))
    shutil.copy(good, odd)
    prepare([good, odd], tmp_path / "clips")
    prepare([good, odd], tmp_path / "clips")
    tables = [rows(tmp_path / "clips" / name) for name in ("clips.csv", "skipped.csv")]
    assert sorted(row["file"] for table in tables for row in table) == ["a.mp4", "caf\\udce9.mp4"]
    assert tables[0][0]["file"] == "a.mp4"


def test_tables_that_a_shard_lost_are_named(films: list[Path], tmp_path: Path) -> None:
    prepare(films, tmp_path / "clips")
    (shard_path(tmp_path / "clips", 0) / "skipped.csv").write_bytes(b"\xff")
    with pytest.raises(DatasetError, match=r"skipped\.csv is missing or damaged: remove .*00000, the same command"):
        prepare(films, tmp_path / "clips")


def test_a_description_that_was_being_written_is_written_again_and_shards_are_kept(
    films: list[Path], tmp_path: Path
) -> None:
    prepare(films, tmp_path / "clips")
    before = (tmp_path / "clips" / "dataset.json").read_bytes()
    (tmp_path / "clips" / "dataset.json").write_bytes(before[:40])
    assert len(prepare(films, tmp_path / "clips")) == 1
    assert (tmp_path / "clips" / "dataset.json").read_bytes() == before


def test_a_full_disk_is_one_error_and_the_same_command_goes_on(
    films: list[Path], tmp_path: Path, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    with file_size_limit(40_000), pytest.raises(DatasetError, match=r"cannot write .*00000: .*disk full"):
        prepare(films, tmp_path / "clips")
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["dataset.json"]
    prepare(films, tmp_path / "clips")
    assert len(Shards(tmp_path / "clips")) == 3


def test_other_files_are_another_dataset(films: list[Path], tmp_path: Path) -> None:
    prepare(films, tmp_path / "clips")
    with pytest.raises(DatasetError, match="made from something else"):
        prepare(films[:-1], tmp_path / "clips")


def test_a_folder_of_nothing_usable_is_an_error_that_says_where_to_look(films: list[Path], tmp_path: Path) -> None:
    bad = [path for path in films if path.name in ("silent.mp4", "text.mp4")]
    with pytest.raises(DatasetError, match=r"none of the 2 files in .* can be used: .*skipped\.csv says why"):
        prepare(bad, tmp_path / "clips")


def test_large_films_do_not_share_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "_GROUP_BYTES", 100)
    files = [tmp_path / str(number) for number in range(5)]
    for path, size in zip(files, (60, 60, 300, 20, 30), strict=True):
        path.write_bytes(bytes(size))
    groups = [[int(path.name) for path in group] for group in videos._groups(files)]
    assert groups == [[0], [1], [2], [3, 4]]


SHORT_RELEASE = Geometry("short", 8, 16, 16, 0, RELEASE.compression, RELEASE.latent_scale, RELEASE.mel)
"""The release's latents over 0.64 s: two pictures."""


@pytest.fixture
def published(tmp_path: Path) -> PublishedClips:
    """The published architectures, the audio networks narrow, all weights seeded."""
    torch.manual_seed(0)
    torch.save({"state_dict": VideoEncoder().state_dict()}, tmp_path / "cavp.ckpt")
    save_audioldm(
        AudioCodec(RELEASE, audioldm_autoencoder((8, 8, 16)), hifigan(RELEASE, channels=32)), tmp_path / "ldm"
    )
    return PublishedClips(SHORT_RELEASE, tmp_path / "cavp.ckpt", str(tmp_path / "ldm"))


def test_published_networks_make_features_and_latents_at_once(
    published: PublishedClips, film: Renderer, tmp_path: Path
) -> None:
    path = film("a.mp4", frames=6, rate=8, sound=tone(0.75))
    prepare_videos(tmp_path / "latents", path.parent, [path], published)
    made = Shards(tmp_path / "latents")
    assert (len(made), made.fields) == (1, ("features", "latent"))
    features, latent = made.clip("features", 0), made.clip("latent", 0)
    assert (features.shape, features.dtype) == ((2, 512), np.float16)
    assert (latent.shape, latent.dtype) == (SHORT_RELEASE.latent_shape, np.float16)
    np.testing.assert_allclose(np.linalg.norm(features.astype(np.float32), axis=1), 1, atol=1e-2)
    assert latent.std() > 0


def test_scenes_are_rendered_from_their_seeds(tmp_path: Path) -> None:
    geometry = load_recipe("toy").geometry
    lines: list[str] = []
    options = {"shard_clips": 2, "report": lines.append}
    prepare_scenes(tmp_path, geometry, 3, 7, **options)  # type: ignore[arg-type]
    clips = Shards(tmp_path)
    assert len(clips) == 3
    assert clips.fields == ("frames", "intensity", "labels", "log_mel", "onsets", "pitches", "sound")
    for name, value in scene_fields(9, geometry).items():
        np.testing.assert_array_equal(clips.clip(name, 2), value, name)
    assert clips.clip("log_mel", 2).shape == (geometry.mel_frames, 128)
    assert [line.split("  ")[0] for line in lines] == ["1 of 2 shards rendered", "2 of 2 shards rendered"]
    shutil.rmtree(shard_path(tmp_path, 0))
    prepare_scenes(tmp_path, geometry, 3, 7, **options)  # type: ignore[arg-type]
    assert lines[2:] == ["2 of 2 shards rendered"]
    with pytest.raises(DatasetError, match="made from something else"):
        prepare_scenes(tmp_path, geometry, 3, 8, **options)  # type: ignore[arg-type]
