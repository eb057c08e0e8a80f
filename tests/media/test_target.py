"""A file is there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdsgen.errors import MediaError
from mdsgen.media.target import fresh_file


def test_appears_under_its_name_when_done(tmp_path):
    target = tmp_path / "sound.wav"
    with fresh_file(target, None) as file:
        assert file.parent == tmp_path
        assert file.suffix == ".wav"
        assert file.name.startswith(".")
        assert not target.exists()
        file.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MediaError, ValueError])
def test_leaves_what_was_there_when_not(tmp_path, error):
    target = tmp_path / "sound.wav"
    target.write_bytes(b"old")
    with pytest.raises(error), fresh_file(target, None) as file:  # noqa: PT012
        file.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_replaces_an_older_file_and_follows_a_link(tmp_path):
    real, link = tmp_path / "real.wav", tmp_path / "link.wav"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with fresh_file(link, None) as file:
        file.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_permissions_are_those_of_any_new_file(tmp_path):
    with fresh_file(tmp_path / "sound.wav", None):
        pass
    (tmp_path / "other").touch()
    assert (tmp_path / "sound.wav").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_name_as_long_as_names_may_be(tmp_path):
    target = tmp_path / ("n" * 251 + ".wav")
    with fresh_file(target, None):
        pass
    assert list(tmp_path.iterdir()) == [target]


def refusal(target: Path, source: Path | None = None) -> str:
    with pytest.raises(MediaError) as caught, fresh_file(target, source):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refuses_a_folder_or_none(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "there is no folder" in refusal(tmp_path / "absent" / "sound.wav")
    (tmp_path / "file").touch()
    assert "there is no folder" in refusal(tmp_path / "file" / "sound.wav")


def test_refuses_its_own_source(tmp_path):
    source, link = tmp_path / "video.mp4", tmp_path / "link.mp4"
    source.touch()
    link.symlink_to(source)
    assert "is the video that is read" in refusal(source, source)
    assert "is the video that is read" in refusal(link, source)


def test_refuses_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a file that may be written" in refusal(tmp_path / "pipe.wav")


def test_refuses_a_name_too_long(tmp_path):
    assert "cannot write" in refusal(tmp_path / ("n" * 300 + ".wav"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_refuses_where_nobody_may_write(tmp_path):
    target = tmp_path / "sound.wav"
    target.touch(mode=0o444)
    assert "not a file that may be written" in refusal(target)
    target.unlink()
    tmp_path.chmod(0o555)
    try:
        assert "ermission denied" in refusal(target)
    finally:
        tmp_path.chmod(0o755)
