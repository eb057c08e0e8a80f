"""``python -m mdsgen.evaluation`` draws a real film, and says what is wrong with a silent one."""

from __future__ import annotations

from pathlib import Path

import av

from mdsgen.evaluation.__main__ import main
from mdsgen.scenes import sample_scene, write_video
from tests.runner import Runner


def test_the_picture_is_as_wide_as_the_film_strip(tmp_path: Path) -> None:
    write_video(sample_scene(1, "bell", 4.0), tmp_path / "bell.mp4")
    result = Runner().invoke(main, [str(tmp_path / "bell.mp4"), "-o", str(tmp_path / "bell.png")])
    assert result.exit_code == 0, result.output
    with av.open(str(tmp_path / "bell.png")) as picture:
        (frame,) = picture.decode(video=0)
    assert (frame.width, frame.height) == (8 * 112, 112 + 256 + 14 + 14)


def test_a_silent_video_has_nothing_to_draw(tmp_path: Path) -> None:
    write_video(sample_scene(1, "bell", 4.0), tmp_path / "bell.mp4", silent=True)
    result = Runner().invoke(main, [str(tmp_path / "bell.mp4"), "-o", str(tmp_path / "bell.png")])
    assert result.exit_code == 1
    assert "has no sound of its own" in result.stderr
    assert not (tmp_path / "bell.png").exists()
