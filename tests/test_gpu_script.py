"""``make gpu`` goes through all its parts whatever fails, and says so at the end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "gpu.sh"


def run(folder: Path, failing: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The script with stand-ins for its commands; those whose arguments hold ``failing`` fail."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("python", "mdsgen-export", "mdsgen-bench"):
        program = f'#!/bin/sh\necho "{name} $*" >> ran\ncase "$*" in *"{failing}"*) exit 3;; esac\n'
        (commands / name).write_text(program, encoding="utf-8")
        (commands / name).chmod(0o755)
    command = ["sh", str(SCRIPT), str(commands)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done, (folder / "ran").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("failing", "named"),
    [
        ("--untrained", ["plans: untrained Tiny, paper geometry, FP16"]),
        ("mdsgen.bench.attention", ["attention kernel"]),
        ("--of", ["loops of 25 steps, Tiny", "clips of 25 steps, Tiny"]),
    ],
)
def test_a_part_that_fails_stops_no_other(tmp_path: Path, failing: str, named: list[str]) -> None:
    done, ran = run(tmp_path, failing)
    assert done.returncode == 1
    _, told = done.stdout.split("\nfailed:")
    assert [line.strip() for line in told.strip().splitlines()] == named
    said = " ".join(ran)
    for part in ("pip install", "--untrained", "-m gpu", "--engine tensorrt", "--of loop", "--of clip", "attention"):
        assert part in said


def test_where_all_parts_pass_it_ends_well(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "no such argument")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all parts passed")
