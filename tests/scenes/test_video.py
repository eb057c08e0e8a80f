"""Scenes as real films."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import MediaError, SettingsError
from mdsgen.media import probe, read_frames, read_sound
from mdsgen.scenes import sample_scene, write_video
from mdsgen.scenes.__main__ import main
from tests.runner import Runner


@pytest.fixture
def scene():
    return sample_scene(3, "bounce", 4.0)


def test_a_film_has_the_pictures_and_the_sound_of_its_scene(scene, tmp_path):
    path = tmp_path / "scene.mp4"
    write_video(scene, path, size=96)
    info = probe(path)
    assert (info.width, info.height, info.codec, info.has_audio) == (96, 96, "h264", True)
    assert info.duration == pytest.approx(4.0, abs=0.01)
    heard = np.concatenate(list(read_sound(path)))
    assert np.corrcoef(heard[: 4 * 15_000], scene.sound(4 * 15_000))[0, 1] > 0.9


def test_the_same_scene_is_the_same_film_every_time(scene, tmp_path):
    for number in range(4):
        write_video(scene, tmp_path / f"{number}.mp4", size=64, silent=True)
    first, *others = ((tmp_path / f"{number}.mp4").read_bytes() for number in range(4))
    assert all(other == first for other in others)


def test_what_is_read_back_at_four_frames_a_second_is_what_the_scene_shows_then(scene, tmp_path):
    path = tmp_path / "scene.mp4"
    write_video(scene, path, frame_rate=12, size=224, silent=True)
    seen = np.stack(list(read_frames(path, 4, 224))).transpose(0, 2, 3, 1) * 255  # [16, 224, 224, 3]
    shown = scene.frames(size=224).astype(np.float32)
    distance = np.abs(seen[:, np.newaxis] - shown).mean(axis=(2, 3, 4))  # [16, 16]
    moving = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)) > 6
    for index in np.flatnonzero(moving):
        assert distance[index].argmin() == index
    assert np.diag(distance).max() < 8


def test_a_silent_film_has_no_sound_track(scene, tmp_path):
    write_video(scene, tmp_path / "scene.mp4", frame_rate=12.5, size=64, silent=True)
    info = probe(tmp_path / "scene.mp4")
    assert not info.has_audio
    assert info.duration == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("name", ["scene.avi", "missing/scene.mp4"])
@pytest.mark.parametrize("silent", [True, False])
def test_a_file_that_cannot_be_written_is_refused_and_nothing_is_left(scene, tmp_path, name, silent):
    with pytest.raises((MediaError, SettingsError), match="cannot write"):
        write_video(scene, tmp_path / name, size=32, silent=silent)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_an_odd_size_is_refused(scene, tmp_path):
    with pytest.raises(SettingsError, match="even size, not 65"):
        write_video(scene, tmp_path / "scene.mp4", size=65)


def test_the_command_writes_a_film_and_prints_what_happens(tmp_path):
    path = tmp_path / "clip.mp4"
    arguments = ["3", "drum", "-o", str(path), "--silent", "--size", "64", "--frame-rate", "10", "--duration", "4"]
    result = Runner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "skin drum" in result.stdout
    assert f"{sample_scene(3, 'drum', 4.0).truth.events[0].time:7.3f} s" in result.stdout
    assert probe(path).width == 64
    assert max(float(line.split()[0]) for line in result.stdout.splitlines()[1:]) < 4.0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [("3 -o a.gif", "ends in .mp4"), ("3 -o a.mp4 --size 65", "even size"), ("3 opera -o a.mp4", "'opera'")],
)
def test_the_command_tells_wrong_use(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    result = Runner().invoke(main, words.split())
    assert result.exit_code == 2
    assert complaint in result.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
