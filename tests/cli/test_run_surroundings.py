"""What a command is started in: closed streams, narrow encodings, strange names. It works, and a batch goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.children import child, finished
from tests.media.conftest import Renderer

RUN = [sys.executable, "-c", "from mdsgen.start import run; run()"]


@pytest.fixture
def place(film: Renderer, tmp_path: Path) -> Path:
    """A folder with the video a.mp4."""
    film("a.mp4", frames=4, rate=4)
    return tmp_path / "films"


def command(bundle: Path, *arguments: str) -> list[str]:
    options = ["--bundle", str(bundle), "--engine", "onnxruntime", "--threads", "1", "--steps", "1"]
    return [*RUN, *options, *arguments]


def names(folder: Path) -> list[bytes]:
    return sorted(os.listdir(os.fsencode(folder)))


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&- <&-"])
def test_closed_streams(bundle_path: Path, place: Path, closed: str) -> None:
    """No file may be opened under their numbers, where a library writes its lines."""
    shell = ["sh", "-c", f'"$@" {closed}', "sh", *command(bundle_path, "a.mp4")]
    assert finished(shell, cwd=place).returncode == 0
    assert names(place) == [b"a.mdsgen.mp4", b"a.mp4"]


def test_a_reader_that_has_gone(bundle_path: Path, place: Path) -> None:
    with child(command(bundle_path, "a.mp4"), cwd=place) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert names(place) == [b"a.mdsgen.mp4", b"a.mp4"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict"])
def test_names_that_the_terminal_cannot_show(bundle_path: Path, place: Path, encoding: str) -> None:
    for name in ("猫.mp4".encode(), b"\xff.mp4"):
        try:
            os.link(place / "a.mp4", os.path.join(os.fsencode(place), name))
        except OSError:
            pytest.skip("this file system has names in UTF-8 alone")
    arguments = ["a.mp4", "猫.mp4", os.fsdecode(b"\xff.mp4"), "absent猫.mp4", "-o", "out/", "--json"]
    environment: dict[str, Any] = {**os.environ, "PYTHONIOENCODING": encoding}
    result = finished(command(bundle_path, *arguments), cwd=place, env=environment, text=False, encoding=None)
    document = json.loads(result.stdout)
    assert [os.fsencode(of["source"]) for of in document["results"]] == [b"a.mp4", "猫.mp4".encode(), b"\xff.mp4"]
    assert [failure["source"] for failure in document["failures"]] == ["absent猫.mp4"]
    assert names(place / "out") == [b"a.mdsgen.mp4", "猫.mdsgen.mp4".encode(), b"\xff.mdsgen.mp4"]
    assert result.returncode == 1
    plain = finished(command(bundle_path, *arguments[:-1]), cwd=place, env=environment, text=False, encoding=None)
    assert len(plain.stdout.splitlines()) == 3


def test_no_home_and_no_cache(bundle_path: Path, place: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "MDSGEN_CACHE")}
    environment["XDG_CACHE_HOME"] = str(place / "a.mp4")  # no folder can be made in a file
    result = finished(command(bundle_path, "a.mp4", "--engine", "auto"), cwd=place, env=environment)
    assert result.returncode == 0
    assert names(place) == [b"a.mdsgen.mp4", b"a.mp4"]
    assert len(result.stderr.splitlines()) <= 1  # what it could not keep, where there is a choice
