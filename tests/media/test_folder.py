"""Which files of a folder are videos, and what is said of the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mdsgen.errors import MediaError
from mdsgen.media.folder import FOLDER, HIDDEN, OTHER, RESULT, VIDEO_SUFFIXES, read_folder

AS_PEOPLE_HAVE_THEM = ["a.mp4", "DSC0001.MTS", "b.m2ts", "c.3gp", "d.ogv", "e.vob", "f.mxf", "g.gif", "h.webp", "i.MOV"]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_files_as_people_have_them(tmp_path: Path) -> None:
    found = read_folder(fill(tmp_path, *AS_PEOPLE_HAVE_THEM))
    assert [path.name for path in found.videos] == sorted(AS_PEOPLE_HAVE_THEM)
    assert not found.left_out
    assert found.summary() == f"{tmp_path}: 10 videos"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4", "a.mdsgen.mp4", "b.mdsgen.wav", ".hidden.mp4", "notes.txt", "mdsgen.mp4", "deep/c.mp4")
    found = read_folder(tmp_path)
    assert [path.name for path in found.videos] == ["a.mp4", "mdsgen.mp4"]
    assert found.left_out == Counter({FOLDER: 1, HIDDEN: 1, RESULT: 2, OTHER: 1})
    left_out = "2 earlier results, 1 folder (see --recursive), 1 hidden file, 1 other file"
    assert found.summary() == f"{tmp_path}: 2 videos; left out: {left_out}"


def test_recursive_takes_the_folders_below(tmp_path: Path) -> None:
    fill(tmp_path, "b.mp4", "a/z.mp4", "a/deep/y.mov", "a/deep/y.mdsgen.mp4", ".cache/x.mp4")
    found = read_folder(tmp_path, recursive=True)
    assert [str(path.relative_to(tmp_path)) for path in found.videos] == ["a/deep/y.mov", "a/z.mp4", "b.mp4"]
    assert found.left_out == Counter({HIDDEN: 1, RESULT: 1})


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4")
    (tmp_path / "round").symlink_to(tmp_path)
    found = read_folder(tmp_path, recursive=True)
    assert found.summary() == f"{tmp_path}: 1 video; left out: 1 link to a folder"


def test_a_folder_that_is_called_as_a_video_is_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4", "album.mp4/b.mp4")
    assert read_folder(tmp_path).left_out == Counter({FOLDER: 1})


def test_no_videos(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as refusal:
        read_folder(fill(tmp_path, "notes.txt"))
    suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
    assert (
        str(refusal.value) == f"no videos in {tmp_path}: expected files that end in {suffixes}; left out: 1 other file"
    )


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"cannot read the folder .*: No such file or directory"):
        read_folder(tmp_path / "none")
