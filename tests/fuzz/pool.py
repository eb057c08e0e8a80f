"""Cases in child processes, so that a crash or a hang is an outcome like another."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.fuzz.kind import CRASH, GOOD, HANG, OUTCOMES, load

ROOT = Path(__file__).resolve().parents[2]
START = 120.0
"""Seconds that a worker may take to start."""


@dataclass(frozen=True)
class Campaign:
    """Cases ``first`` to ``first + count`` of a kind and seed, for ``seconds`` at most; ``limit`` seconds a case."""

    kind: str
    seed: int = 0
    first: int = 0
    count: int = 100
    seconds: float = float("inf")
    limit: float = 20.0
    workers: int = 1
    keep: Path | None = None
    """Where the inputs of bad cases are copied."""


@dataclass
class Report:
    """How often each outcome came, and for each bad case its number, the outcome and what was said."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, number: int, come: str, words: str) -> None:
        self.outcomes[come] += 1
        if come not in GOOD:
            self.bad.append((number, come, words))


class Worker:
    """One child process and what goes to and fro."""

    def __init__(self, campaign: Campaign, base: Path, scratch: Path) -> None:
        self.scratch = scratch
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.worker",
            campaign.kind,
            str(campaign.seed),
            str(base),
            str(scratch),
        ]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        if self._line(START) != b"ready\n":
            self.kill()
            raise RuntimeError(f"a worker of {campaign.kind} did not start: {' '.join(command)}")

    def try_case(self, number: int, limit: float) -> tuple[int, str, str] | None:
        """What came of a case; None where the process is gone. Start another one after a crash or hang."""
        try:
            _pipe(self._process.stdin).write(b"%d\n" % number)
            _pipe(self._process.stdin).flush()
            line = self._line(limit)
        except BrokenPipeError:
            line = b""
        if line is None:
            self.kill()
            return number, HANG, f"longer than {limit:g} s"
        if not line:
            death = self._death()
            self.kill()
            return number, CRASH, death
        number, come, words = json.loads(line)
        return number, come, words

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()

    def _death(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "its answers ended"
        return signal.Signals(-code).name if code < 0 else f"exit {code}"

    def _line(self, seconds: float) -> bytes | None:
        """The next line; empty at the end of the stream, None when time is up. A worker writes whole lines."""
        out = _pipe(self._process.stdout)
        ready, _, _ = select.select([out], [], [], seconds)
        return out.readline() if ready else None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def run(campaign: Campaign) -> Report:
    """Try all cases, some side by side."""
    report, begun = Report(), time.monotonic()
    numbers, lock = iter(range(campaign.first, campaign.first + campaign.count)), threading.Lock()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        base = Path(folder) / "base"
        base.mkdir()
        load(campaign.kind).prepare(base)
        lanes = [
            threading.Thread(
                target=_lane, args=(campaign, base, Path(folder) / f"scratch-{index}", numbers, lock, report)
            )
            for index in range(campaign.workers)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    report.seconds = time.monotonic() - begun
    report.bad.sort()
    return report


def _lane(
    campaign: Campaign, base: Path, scratch: Path, numbers: Iterator[int], lock: threading.Lock, report: Report
) -> None:
    end = time.monotonic() + campaign.seconds
    worker = None
    try:
        while time.monotonic() < end:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            worker = worker or Worker(campaign, base, scratch)
            come = worker.try_case(number, campaign.limit)
            with lock:
                report.add(*come)
            if come[1] not in GOOD and campaign.keep is not None:
                _keep(campaign, number, scratch)
            if come[1] in (CRASH, HANG):
                worker = None
    finally:
        if worker is not None:
            worker.kill()


def _keep(campaign: Campaign, number: int, scratch: Path) -> None:
    assert campaign.keep is not None
    target = campaign.keep / f"{campaign.kind}-{campaign.seed}-{number}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(scratch, target)


def table(reports: dict[str, Report]) -> str:
    """One row a kind, one column an outcome."""
    rows = [["kind", "cases", *OUTCOMES, "ms a case"]]
    for kind, report in reports.items():
        cases = report.outcomes.total() if hasattr(report.outcomes, "total") else sum(report.outcomes.values())
        counts = [str(report.outcomes[come]) for come in OUTCOMES]
        rows.append([kind, str(cases), *counts, f"{1000 * report.seconds / max(1, cases):.0f}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
