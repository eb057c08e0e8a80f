"""The parts of the check: one that fails, hangs or cannot run stops no other, and the summary leaves nothing out."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.gpu import BUNDLE, FIGURES
from tests.gpu.parts import Part, figures_in, parts_of, run_all
from tests.gpu.targets import TARGETS, outcome, summary

WRITE = f"""
import json, os
with open(os.environ["{FIGURES}"], "a") as file:
    print(json.dumps({{"target": "host", "value": 31.5}}), file=file)
"""


def python(name: str, program: str, limit: float = 30, **more: object) -> Part:
    return Part(name, ("-c", program), limit, **more)  # type: ignore[arg-type]


def test_each_part_s_result_is_kept_whatever_becomes_of_the_others(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def say(line: str) -> None:
        path = tmp_path / "results.json"
        seen.append([entry["outcome"] for entry in json.loads(path.read_text())] if path.exists() else [])

    hangs = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    parts = (
        python("good", "print('it ran')", counts="kernels"),
        python("bad", "import sys; sys.exit('no such thing')", counts="memcheck"),
        python("slow", hangs, limit=0.5),
        python("absent", "", needs=lambda: "no such tool", counts="racecheck"),
        python("measures", WRITE),
    )
    start = time.monotonic()
    results = run_all(parts, tmp_path, {}, say)
    assert time.monotonic() - start < 20
    outcomes = ["passed", "failed", "out of time", "not run: no such tool", "passed"]
    assert [result.outcome for result in results] == outcomes
    assert [entry["outcome"] for entry in json.loads((tmp_path / "results.json").read_text())] == outcomes
    assert ["passed", "failed"] in seen
    assert "it ran" in (tmp_path / "1-good.log").read_text()
    assert "no such thing" in (tmp_path / "2-bad.log").read_text()
    assert figures_in(tmp_path) == {"kernels": 0, "memcheck": 1, "host": 31.5}


def test_without_a_gpu_nothing_else_is_run(tmp_path: Path) -> None:
    parts = (python("device", "raise SystemExit(1)", depend=True), python("other", ""))
    assert [result.part for result in run_all(parts, tmp_path, {}, lambda line: None)] == ["device"]


def test_the_order_is_that_of_worth_and_every_part_has_a_limit(tmp_path: Path) -> None:
    names = [part.name for part in parts_of(tmp_path)]
    assert names == [
        "imports and device",
        "kernels against float64",
        "plans",
        "graph against stream order",
        "loop and clip, TensorRT",
        "loop, PyTorch beside it",
        "memcheck",
        "racecheck",
    ]
    assert sum(part.limit for part in parts_of(tmp_path)) <= 3600


def test_a_bundle_that_is_named_is_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUNDLE, "elsewhere")
    part = python("asks", f"import os; print(os.environ['{BUNDLE}'])")
    said: list[str] = []
    run_all((part,), tmp_path, {}, said.append)
    assert any(line.endswith("elsewhere") for line in said)
    assert os.environ[BUNDLE] == "elsewhere"


def test_every_target_is_in_the_summary_as_met_missed_or_not_run() -> None:
    figures = {"kernels": 0, "host": 73.0, "launches": 2, "eager": float("nan"), "growth": -4096.0}
    lines = list(summary(figures, rehearsal=False))
    assert len(lines) == len(TARGETS)
    said = {name: outcome(name, figures, rehearsal=False) for name in TARGETS}
    assert {name for name, word in said.items() if word == "met"} == {"kernels", "growth"}
    assert {name for name, word in said.items() if word == "missed"} == {"host", "launches", "eager"}
    assert outcome("host", figures, rehearsal=True) == "rehearsed"
    assert all(line.endswith(said[name]) for name, line in zip(TARGETS, lines, strict=True))
