"""The harness tells every outcome from every other, and a slice of the damaged videos has none that is bad."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from mdsgen.errors import MediaError
from tests.fuzz.kind import CRASH, GOOD, HANG, LEFTOVER, RAISED, REFUSED, RESULT, UNREADABLE, Kind, load, names
from tests.fuzz.mutations import MUTATIONS, Mutation, mutated
from tests.fuzz.pool import Campaign, run, table

DEEDS = (RESULT, REFUSED, RAISED, UNREADABLE, LEFTOVER, CRASH, HANG, "two lines")


class Fuzz(Kind):
    """Does in turn everything that there is an outcome for."""

    def prepare(self, folder: Path) -> None:
        (folder / "deeds").write_text(" ".join(DEEDS[:-1]))

    def open(self, folder: Path) -> None:
        self.deeds = [*(folder / "deeds").read_text().split(), DEEDS[-1]]
        self.tried = -1

    def make(self, random: Random, scratch: Path) -> Path:
        path = scratch / "input"
        path.write_bytes(b"")
        return path

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        self.tried += 1
        deed = self.deeds[int(os.environ.get("FUZZ_DEED", self.tried))]
        print("this goes nowhere")
        if deed == REFUSED:
            raise MediaError("no")
        if deed == "two lines":
            raise MediaError("no\nno")
        if deed == RAISED:
            raise IndexError("of a list")
        if deed == CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        if deed == HANG:
            time.sleep(60)
        if deed == LEFTOVER:
            (scratch / ".half").touch()
        (scratch / "result").write_text(deed)
        return [scratch / "result"]

    def check(self, result: Path) -> None:
        assert result.read_text() != UNREADABLE, "it is not whole"


@pytest.mark.parametrize("deed", DEEDS)
def test_every_outcome_is_told_from_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deed: str) -> None:
    monkeypatch.setenv("FUZZ_DEED", str(DEEDS.index(deed)))
    report = run(Campaign("tests.fuzz.test_fuzz", count=1, limit=0.5, keep=tmp_path))
    expected = RAISED if deed == "two lines" else deed
    assert dict(report.outcomes) == {expected: 1}
    assert [(number, come) for number, come, _ in report.bad] == ([] if expected in GOOD else [(0, expected)])
    assert len(list(tmp_path.glob("*/input"))) == len(report.bad)


def test_a_crash_costs_its_own_case_alone() -> None:
    report = run(Campaign("tests.fuzz.test_fuzz", count=12, limit=0.5))
    assert report.outcomes == {RESULT: 2, REFUSED: 2, RAISED: 2, UNREADABLE: 2, LEFTOVER: 2, CRASH: 2}
    assert report.bad[3] == (5, CRASH, "SIGSEGV")  # the next worker begins with the first deed again
    assert table({"deeds": report}).splitlines()[1].split()[:9] == ["deeds", "12", "2", "2", "2", "2", "2", "2", "0"]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_take_files_of_any_length(mutation: Mutation) -> None:
    for length in (1, 2, 40, 10_000):
        changed = set()
        for seed in range(20):
            data = bytearray(Random(length).randbytes(length))
            mutation(data, Random(seed))
            changed.add(bytes(data))
        assert length < 10_000 or changed != {Random(length).randbytes(length)}


def test_the_same_number_is_the_same_case() -> None:
    data = bytes(5000)
    assert mutated(data, Random("video/0/7")) == mutated(data, Random("video/0/7"))
    assert mutated(data, Random("video/0/7")) != mutated(data, Random("video/0/8"))


TRAINING = ("checkpoint", "dataset", "recipe")


@pytest.mark.parametrize("kind", names())
def test_a_slice_of_damaged_input_comes_to_nothing_bad(kind: str) -> None:
    if kind in TRAINING:
        pytest.importorskip("torch", reason="damaged trainings need PyTorch")
    assert load(kind).count >= 500
    report = run(Campaign(kind, seed=0, count=40, seconds=60.0))
    assert report.bad == []
    assert report.outcomes[RESULT]
    assert report.outcomes[REFUSED]
