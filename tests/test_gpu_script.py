"""``make gpu`` goes through all its parts whatever fails, and says so at the end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "gpu.sh"
COMMANDS = ["mkdir", "python", "mdsgen-export", "mdsgen-bench", "compute-sanitizer"]


def run(
    folder: Path, failing: str = "no such argument", commands: list[str] = COMMANDS, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The script with stand-ins for its commands; those whose arguments hold ``failing`` fail."""
    made = folder / "bin"
    made.mkdir()
    for name in commands:
        program = f'#!/bin/sh\necho "{name} $*" >> ran\ncase "$*" in *"{failing}"*) exit 3;; esac\n'
        (made / name).write_text(program, encoding="utf-8")
        (made / name).chmod(0o755)
    command, environment = ["/bin/sh", str(SCRIPT), str(made)], {"PATH": str(made), **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, (folder / "ran").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("failing", "named"),
    [
        ("--untrained", ["plans: untrained Tiny, paper geometry, FP16"]),
        ("--of", ["loops of 25 steps, Tiny", "clips of 25 steps, Tiny"]),
        ("racecheck", ["races"]),
    ],
)
def test_a_part_that_fails_stops_no_other(tmp_path: Path, failing: str, named: list[str]) -> None:
    done, ran = run(tmp_path, failing)
    assert done.returncode == 1
    _, told = done.stdout.split("\nfailed:")
    assert [line.strip() for line in told.strip().splitlines()] == named
    said = " ".join(ran)
    for part in ("pip install", "--untrained", "-m gpu", "--engine tensorrt", "--of loop", "--of clip"):
        assert part in said


def test_where_nothing_can_run_it_ends_at_once(tmp_path: Path) -> None:
    done, ran = run(tmp_path, "import tensorrt, pycuda.driver, cuda.bindings.driver")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, 'nothing was run: see "Needed" in docs/tensorrt.md')
    assert not any("mdsgen-export" in line for line in ran)


def test_what_pip_installs_can_be_chosen(tmp_path: Path) -> None:
    for variables, installed in [
        ({}, "--editable .[tensorrt]"),
        ({"TENSORRT": "tensorrt-cu12 pycuda polygraphy"}, "tensorrt-cu12 pycuda polygraphy"),
    ]:
        folder = tmp_path / str(len(variables))
        folder.mkdir()
        _, ran = run(folder, **variables)
        assert ran[1] == f"python -m pip install --quiet {installed}"


def test_where_all_parts_pass_it_ends_well(tmp_path: Path) -> None:
    done, ran = run(tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all parts passed")
    assert sum("-o timeout=3600" in line for line in ran) == 2


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    done, _ = run(tmp_path, commands=COMMANDS[:-1])
    _, told = done.stdout.split("\nleft out:")
    assert [line.split(":")[0].strip() for line in told.strip().splitlines()][:2] == ["memory errors", "races"]
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all other parts passed")
