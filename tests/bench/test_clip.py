"""Every stage of real clips is timed, every step, the whole, and the command in a process of its own."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from mdsgen.bench import clip
from mdsgen.bench import peak as matrix_peak
from mdsgen.bench.clip import STEP, WHOLE, time_clip
from mdsgen.bench.peak import Peak
from mdsgen.bench.process import FINISHED, READY, Command
from mdsgen.bench.report import Report
from mdsgen.bench.work import stage_flop
from mdsgen.bundle import Bundle
from mdsgen.errors import MdsgenError
from mdsgen.geometry import PAPER
from mdsgen.timing import Measurement

STAGES = ["video encoder", "conditioning", "denoiser", "latent decoder", "vocoder"]


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own test runs them."""
    seconds = {READY: Measurement((0.5,)), FINISHED: Measurement((2.0,))}
    peaks = {READY: 100_000_000, FINISHED: 200_000_000}
    monkeypatch.setattr(clip, "time_processes", lambda command, repeat, progress: (dict(seconds), peaks))


def time(bundle_path: Path, steps: int | None, repeat: int, warmup: int, peak: bool = False) -> Report:
    bundle = Bundle.open(bundle_path)
    sampling = bundle.sampling.changed(steps=steps)
    return time_clip(Command(bundle, threads=1), sampling, repeat=repeat, warmup=warmup, peak=peak)


@pytest.mark.parametrize(("steps", "counted"), [(None, 4), (3, 3)])
def test_a_clip_is_timed_stage_by_stage(bundle_path: Path, steps: int | None, counted: int) -> None:
    report = time(bundle_path, steps, repeat=2, warmup=1)
    found = report.measurements
    assert list(found) == [*STAGES, WHOLE, STEP, READY, FINISHED]
    assert report.settings["steps"] == counted
    assert [len(found[name].seconds) for name in (*STAGES, WHOLE)] == [2] * 6
    assert len(found[STEP].seconds) == 2 * (counted - 1)
    for turn in range(2):
        assert found[WHOLE].seconds[turn] == pytest.approx(sum(found[name].seconds[turn] for name in STAGES))
    assert sum(found[STEP].seconds) < sum(found["denoiser"].seconds)
    for name in (*STAGES, WHOLE, FINISHED):
        assert report.figures[name]["real-time factor"] == pytest.approx(found[name].median / PAPER.duration)


def test_start_up_and_memory_are_those_of_the_processes(bundle_path: Path) -> None:
    report = time(bundle_path, 1, repeat=1, warmup=0)
    assert (report.totals["start-up seconds"], report.totals["peak memory bytes"]) == (0.5, 200_000_000)
    assert (report.figures[READY]["peak MB"], report.figures[FINISHED]["peak MB"]) == (100.0, 200.0)


def test_a_loop_of_one_step_is_that_step(bundle_path: Path) -> None:
    report = time(bundle_path, 1, repeat=1, warmup=0)
    assert report.measurements[STEP] == report.measurements["denoiser"]


def test_stages_are_held_against_the_machine_s_peak(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        matrix_peak, "measure_peaks", lambda threads, kinds: {"fp32": Peak(threads * 4e9, "a library, 64")}
    )
    report = time(bundle_path, 2, repeat=1, warmup=0, peak=True)
    bundle = Bundle.open(bundle_path)
    flop = stage_flop(bundle.path, steps=2, passes=4)
    for name in STAGES:
        figures, seconds = report.figures[name], report.measurements[name].median
        assert figures["GFLOP"] * 1e9 == flop[name]
        assert figures["% of peak"] == pytest.approx(100 * flop[name] / seconds / 4e9)
    assert report.figures[WHOLE]["GFLOP"] == pytest.approx(sum(flop.values()) / 1e9)
    assert report.figures[STEP]["GFLOP"] == pytest.approx(flop["denoiser"] / 2e9)
    assert report.totals["fp32 matrix peak, GFLOP/s"] == "4 (a library, 64)"


def test_a_peak_that_cannot_be_measured_is_a_note(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(threads: int, kinds: Iterable[str]) -> dict[str, Peak]:
        raise MdsgenError("the matrix peak could not be measured: nothing")

    monkeypatch.setattr(matrix_peak, "measure_peaks", failing)
    report = time(bundle_path, 2, repeat=1, warmup=0, peak=True)
    assert report.measurements[WHOLE].median > 0
    assert report.notes == [
        "the matrix peak could not be measured: nothing",
        "shares of the peak are left out: nothing here measures what fp32 can do",
    ]
