"""Files and folders are there whole, or not at all: after an exception, a kill, and two writers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdsgen import files
from mdsgen.files import hidden_folder, recover, sweep, whole_file, whole_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text(text)


@contextmanager
def child(script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said on a line that it is ready; it is killed afterwards."""
    program = f"import time\nfrom pathlib import Path\nfrom mdsgen import files\nfrom mdsgen.files import *\n{script}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)


READY = "print('ready', flush=True); time.sleep(60)"


# A file


def test_a_file_appears_under_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "sound.wav"
    with whole_file(target) as file:
        assert file.parent == tmp_path
        assert file.name.startswith(".mdsgen-")
        assert file.name.endswith("-sound.wav")
        file.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["sound.wav"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_exception_the_old_file_is_there(tmp_path: Path, error: type[BaseException]) -> None:
    write_whole(tmp_path / "a", "old")
    with pytest.raises(error), whole_file(tmp_path / "a") as file:  # noqa: PT012
        file.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_disk_that_does_not_keep_it_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_the_longest_of_names_keeps_its_suffix(tmp_path: Path) -> None:
    with whole_file(tmp_path / ("n" * 251 + ".wav")) as file:
        assert file.suffix == ".wav"
    assert names(tmp_path) == ["n" * 251 + ".wav"]


def test_folders_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match=place.name):
            write_whole(place, "text")
    assert names(tmp_path) == ["pipe"]


# A folder


def test_a_folder_appears_when_it_is_whole_with_the_parents_that_were_missing(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "b" / "c") as folder:
        fill(folder, "new")
        assert not (tmp_path / "b" / "c").exists()
    assert (tmp_path / "b" / "c" / "deep" / "a").read_text() == "new"
    assert names(tmp_path / "b") == ["c"]


def test_after_an_exception_no_folder_and_no_parent_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "b" / "c") as folder:  # noqa: PT012
        fill(folder, "half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_folder_with_content_is_replaced_only_when_asked(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "b"):
        pytest.fail("nothing should be made")
    assert (tmp_path / "b" / "deep" / "a").read_text() == "old"


def test_an_empty_folder_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with whole_folder(tmp_path / "b") as folder:
        fill(folder, "new")
    assert (tmp_path / "b" / "deep" / "a").read_text() == "new"


@pytest.fixture(params=["exchanged", "renamed twice"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With what the system has, and as where it cannot exchange two names."""
    if request.param == "renamed twice":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_folder_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    (tmp_path / "b" / "only old").touch()
    with whole_folder(tmp_path / "b", replace=True) as folder:
        fill(folder, "new")
        assert (tmp_path / "b" / "deep" / "a").read_text() == "old"
    assert (tmp_path / "b" / "deep" / "a").read_text() == "new"
    assert names(tmp_path / "b") == ["deep"]
    assert names(tmp_path) == ["b"]


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "b", "old")
    rename = Path.rename

    def refuse_the_new(path: Path, target: Path) -> Path:
        if path.name.startswith(".mdsgen-") and path.name.endswith("-b") and ".old-" not in path.name:
            raise OSError("no space left")
        return rename(path, target)

    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(OSError, match="no space left"), whole_folder(tmp_path / "b", replace=True) as folder:
        fill(folder, "new")
    assert (tmp_path / "b" / "deep" / "a").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_a_hidden_folder_is_gone_afterwards_but_not_what_was_moved_out_of_it(tmp_path: Path) -> None:
    with hidden_folder(tmp_path / "a" / "b" / "bundle") as folder:
        fill(folder, "x")
        assert folder.parent == tmp_path / "a" / "b"
    assert names(tmp_path) == []
    with hidden_folder(tmp_path / "a" / "b" / "bundle") as folder:
        fill(folder, "x")
        (folder / "deep").rename(tmp_path / "a" / "b" / "deep")
    assert names(tmp_path / "a" / "b") == ["deep"]


# Killed processes


def test_what_a_killed_process_left_is_swept_away_and_what_is_written_now_is_not(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "old")
    script = f"""
with whole_file({str(tmp_path / "a")!r}) as file, whole_folder({str(tmp_path / "b")!r}) as folder:
    file.write_text("half"); (folder / "half").touch(); {READY}
"""
    with child(script):
        writing = names(tmp_path)
        assert len(writing) == 3
        sweep(tmp_path)
        assert names(tmp_path) == writing
    sweep(tmp_path)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_next_writer_sweeps_first(tmp_path: Path) -> None:
    with child(f"with whole_file({str(tmp_path / 'a')!r}): {READY}"):
        pass
    assert len(names(tmp_path)) == 1
    write_whole(tmp_path / "b", "text")
    assert names(tmp_path) == ["b"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    script = f"""
def asleep(path, target, rename=Path.rename):
    if ".old-" in target.name:
        return rename(path, target)
    {READY}
files._exchange = lambda one, other: False
Path.rename = asleep
with whole_folder({str(tmp_path / "b")!r}, replace=True) as folder:
    (folder / "new").touch()
"""
    with child(script):
        assert not (tmp_path / "b").exists()
        recover(tmp_path / "b")
        assert not (tmp_path / "b").exists()  # it is not lost, the process is at work
    recover(tmp_path / "b")
    assert (tmp_path / "b" / "deep" / "a").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_a_kill_while_the_old_folder_is_removed_leaves_the_new_one(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    script = f"""
def asleep(*arguments, **keywords):
    {READY}
files.shutil.rmtree = asleep
with whole_folder({str(tmp_path / "b")!r}, replace=True) as folder:
    (folder / "new").touch()
"""
    with child(script):
        assert names(tmp_path / "b") == ["new"]
    sweep(tmp_path)
    assert names(tmp_path / "b") == ["new"]
    assert names(tmp_path) == ["b"]


def test_other_hidden_files_are_nobody_s_leftovers(tmp_path: Path) -> None:
    for name in (".mdsgen-notes", ".mdsgen-0123456-a", "mdsgen-01234567-a"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert len(names(tmp_path)) == 3


def test_what_is_swept_away_before_it_is_opened_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, made = files._create_file, list[Path]()

    def create_and_lose_the_first(path: Path) -> None:
        create(path)
        made.append(path)
        if len(made) == 1:
            sweep(tmp_path)  # as another thread that begins a file in the same folder does at this moment
            assert not path.exists()

    monkeypatch.setattr(files, "_create_file", create_and_lose_the_first)
    write_whole(tmp_path / "a.txt", "whole")
    assert len(made) == 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
