"""A command's own time and memory are measured, not those of who measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mdsgen.bench.process import FINISHED, READY, Command, launch, sampling_arguments, time_processes
from mdsgen.bundle import Bundle
from mdsgen.errors import MdsgenError


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_time_and_memory_are_the_command_s() -> None:
    kept = bytearray(b"x") * 400_000_000  # in this process
    small = launch(python("print('done')"))
    large = launch(python("import time; kept = bytearray(b'x') * 200_000_000; time.sleep(0.2)"))
    assert small.output == "done\n"
    assert small.peak < 100_000_000 < 200_000_000 < large.peak < 300_000_000 < len(kept)
    assert large.end - large.start > 0.2


def test_a_command_that_fails_says_its_last_line() -> None:
    with pytest.raises(MdsgenError, match="failed with code 3, its last line: the end"):
        launch(python("import sys; print('the beginning'); print('the end', file=sys.stderr); sys.exit(3)"))
    with pytest.raises(MdsgenError, match="failed with code -9, its last line: nothing"):
        launch(python("import os; os.kill(os.getpid(), 9)"))


def test_the_real_command_is_run_from_start_to_finish(bundle_path: Path) -> None:
    command = Command(Bundle.open(bundle_path), "onnxruntime", 1, sampling=sampling_arguments({"steps": 1}))
    measured, peaks = time_processes(command, repeat=2)
    assert {name: len(found.seconds) for name, found in measured.items()} == {READY: 2, FINISHED: 2}
    assert 0.05 < measured[READY].median < measured[FINISHED].median
    assert 30_000_000 < peaks[READY] < peaks[FINISHED]


def test_options_are_handed_on_as_they_were_given(bundle_path: Path) -> None:
    named = {"quality": "fast", "steps": None, "guidance_interval": (0.0, 600.0)}
    sampling = sampling_arguments(named)
    assert sampling == ("--quality", "fast", "--guidance-interval", "0.0", "600.0")
    line = Command(Bundle.open(bundle_path), "openvino", 2, True, sampling).running(Path("v.mp4"), Path("t.mp4"))
    assert line[1:4] == ["-c", "from mdsgen.start import run; run()", "v.mp4"]
    assert " ".join(line).endswith(f"--duration 8.192 --threads 2 --bfloat16 {' '.join(sampling)}")
