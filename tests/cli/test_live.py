"""``mdsgen-run`` for sources without an end; a file played at its own speed stands in for a camera."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mdsgen.cli.run import main
from mdsgen.geometry import SAMPLE_RATE
from tests.media.conftest import Renderer
from tests.runner import Runner


def samples_of(path: Path) -> int:
    with wave.open(str(path)) as file:
        return file.getnframes()


FAST = ["--engine", "onnxruntime", "--steps", "1", "--guidance", "1", "--block", "0.256"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(timeout=10)


def test_a_file_plays_as_a_camera_would(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    path, target, short = film("a.mp4", frames=20, rate=20), tmp_path / "sound.wav", ["--block", "0.2"]
    result = Runner().invoke(
        main, [str(path), "--live", "-o", str(target), "--bundle", str(bundle_path), *FAST, *short]
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "s of sound for 20 pictures" in result.stderr
    assert "note: a block of 0.2 s is rounded up to 0.256 s" in result.stderr


def test_a_film_has_no_blocks_and_is_told_so(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    path, target = film("a.mp4", frames=4, rate=4), tmp_path / "sound.wav"
    result = Runner().invoke(main, [str(path), "-o", str(target), "--bundle", str(bundle_path), *FAST])
    assert result.exit_code == 0, result.stderr
    assert "note: --block changes nothing without --live" in result.stderr


def test_the_last_picture_stays_as_long_as_the_film_s_rate_says(
    bundle_path: Path, film: Renderer, tmp_path: Path
) -> None:
    path, target = film("a.mp4", frames=4, rate=4), tmp_path / "sound.wav"
    result = Runner().invoke(main, [str(path), "--live", "-o", str(target), "--bundle", str(bundle_path), *FAST])
    assert result.exit_code == 0, result.stderr
    assert samples_of(target) == SAMPLE_RATE


def test_a_pipe_in_and_a_pipe_out_until_its_duration(bundle_path: Path, film: Renderer) -> None:
    command = [sys.executable, "-m", "mdsgen.cli.run", "-", "-o", "-", "--format", "raw", "--duration", "0.5"]
    with film("a.mkv", frames=24, rate=24).open("rb") as pipe:
        result = subprocess.run(
            [*command, "--bundle", str(bundle_path), *FAST], stdin=pipe, capture_output=True, timeout=60, check=True
        )
    assert len(np.frombuffer(result.stdout, "<i2")) == SAMPLE_RATE // 2


def test_a_pipe_that_is_faster_than_its_film_waits_where_the_sound_goes_into_a_file(
    bundle_path: Path, film: Renderer, tmp_path: Path
) -> None:
    target = tmp_path / "sound.wav"
    command = [sys.executable, "-m", "mdsgen.cli.run", "-", "-o", str(target), "--bundle", str(bundle_path), *FAST]
    with film("a.mkv", frames=160, rate=20).open("rb") as pipe:
        result = subprocess.run(command, stdin=pipe, capture_output=True, timeout=60, check=True)
    assert b"0 with fewer evaluations and 0 silent" in result.stderr
    assert samples_of(target) == pytest.approx(8 * SAMPLE_RATE, abs=SAMPLE_RATE / 20)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_finishes_the_file(
    bundle_path: Path,
    film: Renderer,
    tmp_path: Path,
    started: list[subprocess.Popen[bytes]],
    number: signal.Signals,
    code: int,
) -> None:
    path, target = film("a.mp4", frames=300, rate=10), tmp_path / "sound.wav"
    command = [sys.executable, "-m", "mdsgen.cli.run", str(path), "--live", "-o", str(target)]
    process = subprocess.Popen([*command, "--bundle", str(bundle_path), *FAST], stderr=subprocess.PIPE)
    started.append(process)
    hidden = _grown_file(tmp_path, process)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code, told
    assert b"s of sound for" in told
    assert 0 < samples_of(target) < 30 * SAMPLE_RATE
    assert not hidden.exists()


def _grown_file(folder: Path, process: subprocess.Popen[bytes]) -> Path:
    """The file in the making, as soon as there is more than one block of sound (0.512 s) in it."""
    limit = time.monotonic() + 40
    while time.monotonic() < limit and process.poll() is None:
        for path in folder.glob(".*.wav"):
            if path.stat().st_size > 20_000:
                return path
        time.sleep(0.05)
    raise AssertionError("there is no sound")


def test_a_source_that_cannot_be_opened_leaves_nothing(bundle_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "sound.wav"
    result = Runner().invoke(main, ["rtsp://127.0.0.1:1/x", "-o", str(target), "--bundle", str(bundle_path), *FAST])
    assert result.exit_code == 1
    assert "cannot open rtsp://127" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--start", "1"], ["--mix", "0.5"], ["--keep-original"], ["--json"]], ids=" ".join)
def test_what_only_a_film_can_have_is_refused(option: list[str]) -> None:
    result = Runner().invoke(main, ["-", *option])
    assert result.exit_code == 2
    assert option[0] in result.stderr
