"""Pictures of sources that never end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media.camera import at_own_speed, device_format, open_camera
from mdsgen.media.names import as_given, is_endless, is_foreign
from tests.media.conftest import Renderer


@pytest.mark.parametrize("source", ["-", "rtsp://camera/1", "rtsp:/camera/1", "udp://@:1234", "/dev/null"])
def test_what_never_ends(source: str) -> None:
    assert is_endless(Path(source))


@pytest.mark.parametrize("source", ["hf://owner/name", "s3://bucket/film.mp4"])
def test_an_address_that_nobody_can_read_is_foreign_and_keeps_its_slashes(source: str) -> None:
    assert is_foreign(Path(source))
    assert as_given(Path(source)) == source


@pytest.mark.parametrize("source", ["-", "rtsp://camera/1", "/dev/null", "film.mp4", "C:/film.mp4", "a:b/film.mp4"])
def test_what_may_be_a_video_is_not_foreign(source: str) -> None:
    assert not is_foreign(Path(source))


def test_files_and_folders_end(film: Renderer, tmp_path: Path) -> None:
    assert not any(map(is_endless, (film(frames=4), tmp_path, tmp_path / "absent.mp4")))


def test_a_file_comes_at_its_own_speed() -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    shown = at_own_speed(((stamp, np.zeros(1)) for stamp in (5.0, 5.25, None, 5.5)), lambda: now[0], sleep)
    assert [stamp for stamp, _ in shown] == [5.0, 5.25, None, 5.5]
    assert slept == pytest.approx([0, 0.25, 0.25])


def test_pictures_come_with_their_times(film: Renderer) -> None:
    with open_camera(film(frames=4, rate=40), 224) as camera:
        seen = list(camera)
    assert camera.interval == pytest.approx(0.025)
    assert [stamp for stamp, _ in seen] == pytest.approx([0, 0.025, 0.05, 0.075])
    assert seen[0][1].shape == (224, 224, 3)
    assert seen[0][1].dtype == np.uint8


READ = """
from pathlib import Path
from mdsgen.media.camera import open_camera
with open_camera(Path("-"), 224) as pictures:
    print(len(list(pictures)))
"""


def test_a_pipe_is_read(film: Renderer) -> None:
    with film("a.mkv", frames=6, rate=4).open("rb") as pipe:
        told = subprocess.run([sys.executable, "-c", READ], stdin=pipe, capture_output=True, timeout=60, check=True)
    assert int(told.stdout) == 6


def test_what_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no pictures")
    for source in (tmp_path / "text", tmp_path / "absent", Path("rtsp://127.0.0.1:1/x"), Path(os.devnull)):
        with pytest.raises(MediaError, match="cannot open") as fault, open_camera(source, 224):
            pass
        assert "\n" not in str(fault.value)


def test_a_device_that_the_build_lacks_is_named() -> None:
    with pytest.raises(MediaError, match="no device abacus"):
        device_format("abacus", "r", "/dev/abacus")
