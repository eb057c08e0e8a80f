"""The C interface: a program in C gives pictures and takes their sound, the same as Python's to the last bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import SettingsError
from mdsgen.integrations.c.calls import Calls
from mdsgen.integrations.c.session import Session, parsed
from tests.children import child, finished

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, RATE = 20, 12, 4.0
COMPILER = shutil.which("cc")

Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """``examples/live.c``, compiled against the library and header that are built for this Python."""
    pytest.importorskip("cffi", reason="cffi is not installed")
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    if COMPILER is None or not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("there is no C compiler, or no shared library of Python")
    folder = tmp_path_factory.mktemp("c")
    built = finished([sys.executable, "-m", "mdsgen.integrations.c", str(folder)])
    assert built.returncode == 0, built.stderr
    source = str(ROOT / "examples" / "live.c")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    link = [f"-I{folder}", f"-L{folder}", f"-Wl,-rpath,{folder}", "-lmdsgen", "-lm"]
    compiled = finished([COMPILER, *strict, source, "-o", str(folder / "live"), *link])
    assert compiled.returncode == 0, compiled.stderr
    return lambda data, *arguments: run(folder / "live", data, *arguments)


def run(command: Path, data: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run it as from a shell in which the environment of this Python is active."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    words = [str(command), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "text": False, "env": environment}
    with child(words, **pipes) as process:
        output, errors = process.communicate(data, timeout=60)  # type: ignore[call-overload]
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def test_a_program_in_c_hears_what_python_hears(program: Program, bundle_path: Path) -> None:
    seen = pictures(10)
    result = program(seen.tobytes(), WIDTH, HEIGHT, RATE, bundle_path)
    assert (result.returncode, result.stderr) == (0, b"")
    with Pipeline.open(bundle_path, "onnxruntime", threads=1) as pipeline, pipeline.live(frame_rate=RATE) as live:
        blocks = [block for picture in seen for block in live.push(picture)]
        expected = np.concatenate([*blocks, live.finish()])
    assert len(expected) == 2.5 * 16000
    np.testing.assert_array_equal(np.frombuffer(result.stdout, np.float32), expected)


def test_what_fails_is_one_line(program: Program, tmp_path: Path) -> None:
    result = program(b"", WIDTH, HEIGHT, RATE, tmp_path / "none")
    assert result.returncode == 1
    assert result.stderr.decode().startswith("live: ")
    assert "none" in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1


def test_no_picture_is_no_sound(program: Program, bundle_path: Path) -> None:
    result = program(b"", WIDTH, HEIGHT, RATE, bundle_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_a_call_that_is_none_is_told_and_harms_nothing(bundle_path: Path) -> None:
    ffi = pytest.importorskip("cffi", reason="cffi is not installed").FFI()
    ffi.cdef("typedef struct mdsgen mdsgen;")
    calls = Calls(ffi)
    pull, close = calls.guarded(calls.pull, -1), calls.guarded(calls.close, None)
    options = ffi.new("char[]", b"engine=onnxruntime threads=1")
    session = calls.open(ffi.new("char[]", os.fsencode(bundle_path)), options)
    assert pull(session, ffi.NULL, 16) == -1
    assert ffi.string(calls.error()) == b"expected a place for samples, got NULL"
    assert pull(session, ffi.new("float[16]"), 16) == 0
    close(session)
    close(session)
    assert ffi.string(calls.error()).endswith(b"got NULL or one that is closed")


def test_samples_come_as_few_at_a_time_as_are_asked_for(bundle_path: Path) -> None:
    session = Session(str(bundle_path), f"engine=onnxruntime threads=1 steps=1 frame_rate={RATE}")
    for picture in pictures(4):
        session.push(picture, None)
    session.end()
    counts = []
    while count := len(session.pull(3000)):
        counts.append(count)
    session.close()
    assert sum(counts) == 16000
    assert max(counts) == 3000


@pytest.mark.parametrize("words", ["volume=3", "block", "steps=two", "seed"])
def test_options_that_are_none(words: str) -> None:
    with pytest.raises(SettingsError, match=words.split("=")[0]):
        parsed(words)


def test_an_impossible_option_closes_the_pipeline(bundle_path: Path) -> None:
    with pytest.raises(SettingsError, match="block"):
        Session(str(bundle_path), "engine=onnxruntime block=-1")
