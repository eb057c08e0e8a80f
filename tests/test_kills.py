"""A slice of the kills that ``python -m tests.kills`` makes, and that they would see what they look for."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from tests.kills import SCENARIOS, Scenario, kill_once, kills, reference

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such kill")

IN_PLACE = """
import pathlib, time
if pathlib.Path("log").exists():
    pathlib.Path("left").touch()
pathlib.Path("log").touch()
with open("result", "w") as file:
    for _ in range(20):
        file.write("x")
        file.flush()
        time.sleep(0.01)
"""
"""A command that writes in place, and leaves something where it was begun before."""


def test_a_run_is_killed_and_run_again() -> None:
    assert kills("run", 1, 60.0, Random(0)) == (1, [])


def test_what_is_half_there_and_what_is_left_are_seen(tmp_path: Path) -> None:
    careless = Scenario([sys.executable, "-c", IN_PLACE], ("result",))
    known = reference(careless, tmp_path)
    faults = kill_once(careless, known, tmp_path / "killed", known.seconds - 0.1)
    assert faults == ["result is half there", "left is left"]


def test_every_command_that_writes_is_among_them() -> None:
    assert SCENARIOS.keys() == {"run", "export", "replace", "prepare", "train"}
