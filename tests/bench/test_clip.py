"""Every stage of real clips is timed, every step, and the whole."""

from pathlib import Path

import pytest

from mdsgen.bench.clip import STEP, WHOLE, peak_memory, time_clip
from mdsgen.bench.report import Report
from mdsgen.bundle import Bundle
from mdsgen.engines import EngineOptions
from mdsgen.geometry import PAPER
from mdsgen.runtime import sampler_settings

STAGES = ["video encoder", "conditioning", "denoiser", "latent decoder", "vocoder"]


def time(bundle_path: Path, steps: int | None, repeat: int, warmup: int) -> Report:
    bundle = Bundle.open(bundle_path)
    settings = sampler_settings(bundle.manifest.sampler, steps=steps)
    return time_clip(bundle, "auto", EngineOptions(threads=1), settings, repeat=repeat, warmup=warmup)


@pytest.mark.parametrize(("steps", "counted"), [(None, 4), (3, 3)])
def test_a_clip_is_timed_stage_by_stage(bundle_path: Path, steps: int | None, counted: int) -> None:
    report = time(bundle_path, steps, repeat=2, warmup=1)
    found = report.measurements
    assert list(found) == [*STAGES, WHOLE, STEP]
    assert report.settings["steps"] == counted
    assert [len(found[name].seconds) for name in (*STAGES, WHOLE)] == [2] * 6
    assert len(found[STEP].seconds) == 2 * (counted - 1)
    for clip in range(2):
        assert found[WHOLE].seconds[clip] == pytest.approx(sum(found[name].seconds[clip] for name in STAGES))
    assert sum(found[STEP].seconds) < sum(found["denoiser"].seconds)
    assert report.totals["real-time factor"] == pytest.approx(found[WHOLE].median / PAPER.duration)


def test_a_loop_of_one_step_is_that_step(bundle_path: Path) -> None:
    report = time(bundle_path, 1, repeat=1, warmup=0)
    assert report.measurements[STEP] == report.measurements["denoiser"]


def test_memory_is_counted_in_bytes() -> None:
    before = peak_memory()
    assert before > 10_000_000
    kept = bytearray(b"x") * (2 * before)
    assert peak_memory() > before + len(kept) // 4
