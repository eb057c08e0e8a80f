"""The server's life in a process of its own: it says where it is, serves, and leaves nothing when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdsgen.errors import ServerError
from mdsgen.server import ServerSettings
from mdsgen.server.process import address, listening, scratch
from tests.children import LIMIT, child


@contextmanager
def process(*options: object, cache: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``mdsgen-serve`` and its address."""
    command = [sys.executable, "-m", "mdsgen.cli.serve", "--port", "0", "--engine", "onnxruntime", *map(str, options)]
    environment = {**os.environ, "MDSGEN_CACHE": str(cache)}
    with child(command, env=environment) as started:
        assert started.stdout is not None
        yield started, started.stdout.readline().strip()


def test_a_process_serves_until_a_signal_comes(bundle_path: Path, tmp_path: Path, clip: bytes) -> None:
    with process("--bundle", bundle_path, "--threads", 1, cache=tmp_path) as (started, url):
        assert url.startswith("http://127.0.0.1:")
        request = urllib.request.Request(f"{url}v1/sounds?steps=1&format=wav", clip)
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            assert answer.read(4) == b"RIFF"
        (folder,) = (tmp_path / "server").iterdir()
        assert ((tmp_path / "server").stat().st_mode & 0o777, list(folder.iterdir())) == (0o700, [])
        started.send_signal(signal.SIGTERM)
        output, errors = started.communicate(timeout=LIMIT)
        assert (started.returncode, output, errors) == (0, "", "")
    assert list((tmp_path / "server").iterdir()) == []


def test_what_a_killed_server_left_is_swept_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path))
    left = tmp_path / "server" / ".mdsgen-0123abcd-clips" / "clip-a"
    left.mkdir(parents=True)
    (left / "film").write_bytes(b"somebody's")
    with scratch() as mine, scratch() as other:
        assert sorted((tmp_path / "server").iterdir()) == sorted([mine, other])
    assert list((tmp_path / "server").iterdir()) == []


def test_no_folder_for_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ServerError, match=r"cannot keep films in .*: Not a directory"), scratch():
        pass


def test_an_address_that_is_taken() -> None:
    with listening(ServerSettings(port=0)) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}/"
        fault = rf"cannot listen on 127\.0\.0\.1 port {port}: .*in use"
        with pytest.raises(ServerError, match=fault), listening(ServerSettings(port=port)):
            pass


def test_an_engine_that_does_not_end_its_step_is_not_waited_for(bundle_path: Path, tmp_path: Path, clip: bytes) -> None:
    program = """
import sys, threading, time, urllib.request
from mdsgen import Pipeline
from mdsgen.server import ServerSettings, serve
from mdsgen.server.jobs import Job
Job.advance = lambda *_: (print("stuck", flush=True), time.sleep(600))
def ask(url):
    film = open(sys.argv[2], "rb").read()
    threading.Thread(target=urllib.request.urlopen, args=(url + "v1/sounds?steps=1", film), daemon=True).start()
serve(Pipeline.open(sys.argv[1], "onnxruntime", threads=1), ServerSettings(port=0), ask)
"""
    environment = {**os.environ, "MDSGEN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program, str(bundle_path), str(tmp_path / "clip.mp4")]
    (tmp_path / "clip.mp4").write_bytes(clip)
    with child(command, env=environment) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "stuck\n"
        started.send_signal(signal.SIGTERM)
        assert started.wait(LIMIT) == 0
    assert list((tmp_path / "server").iterdir()) == []
