"""On a GPU a clip is timed stage by stage in stream order, as a whole by replay, and so is the host's part."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdsgen.bench import clip, device_stages, peak
from mdsgen.bench.clip import STEP, WHOLE, time_clip
from mdsgen.bench.device_stages import HOST, IN_ORDER
from mdsgen.bench.peak import Peak
from mdsgen.bench.process import FINISHED, READY, Command
from mdsgen.bench.report import Report
from mdsgen.bench.work import stage_flop
from mdsgen.bundle import Bundle
from mdsgen.errors import EngineError
from mdsgen.timing import Measurement
from tests.engines.fake_gpu import FakeGpu

pytestmark = [pytest.mark.parametrize("trt_major", [10], indirect=True), pytest.mark.usefixtures("fake_gpu")]
STAGES = ["upload", "frames", "video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "download"]


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {READY: Measurement((0.5,)), FINISHED: Measurement((2.0,))}
    monkeypatch.setattr(
        clip, "time_processes", lambda command, repeat, progress: (dict(seconds), {READY: 1, FINISHED: 2})
    )
    monkeypatch.setattr(device_stages, "_LAUNCHES", 3)  # on the stand-in a launch computes the clip


def time(bundle_path: Path, steps: int = 3, peak: bool = False, every: int = 1) -> Report:
    bundle = Bundle.open(bundle_path)
    sampling = bundle.sampling.changed(steps=steps, unconditional_every=every)
    return time_clip(Command(bundle, "tensorrt"), sampling, repeat=2, warmup=1, peak=peak)


def test_every_stage_both_ways_and_the_host(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    free = iter([1 << 30, (1 << 30) - 500, (1 << 30) - 500, (1 << 30) - 800, (1 << 30) - 800, (1 << 30) - 1000])
    fake_gpu.driver.mem_get_info = lambda: (next(free), 2 << 30)  # type: ignore[attr-defined]
    report = time(planned_bundle)
    found = report.measurements
    assert list(found) == [*STAGES, IN_ORDER, WHOLE, HOST, STEP, READY, FINISHED]
    assert [len(found[name].seconds) for name in (*STAGES, IN_ORDER, WHOLE)] == [2] * 10
    assert found["vocoder"].seconds == (0.002, 0.002)  # what every event of the fake says
    assert found[STEP].median == pytest.approx(found["denoiser"].median / 3)
    assert found[HOST].median > 0
    assert report.totals["launches per clip"] == "1, a CUDA graph"
    assert report.totals["device memory bytes"] == 1000
    assert (report.settings["engine"], report.totals["GPU"]) == ("tensorrt", "Fake GPU, sm_87, CUDA 12.6")


def test_shares_are_of_the_gpu_s_peak(planned_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "measure_peaks", lambda threads, kinds: {"cuda fp32": Peak(1e12, "PyTorch, 8")})
    report = time(planned_bundle, peak=True)
    for name, flop in stage_flop(Bundle.open(planned_bundle).path, steps=3, passes=6).items():
        found = report.measurements[name].median
        assert report.figures[name]["% of peak"] == pytest.approx(100 * flop / found / 1e12)
    assert report.totals["cuda fp32 matrix peak, GFLOP/s"] == "1,000 (PyTorch, 8)"


def test_every_step_there_is_both_branches(planned_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "measure_peaks", lambda threads, kinds: {})
    report = time(planned_bundle, peak=True, every=2)
    assert report.settings["denoiser passes"] == 6
    denoiser = stage_flop(Bundle.open(planned_bundle).path, steps=3, passes=6)["denoiser"]
    assert report.figures["denoiser"]["GFLOP"] == pytest.approx(denoiser / 1e9)


def test_without_a_measured_peak_it_says_so(planned_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "measure_peaks", lambda threads, kinds: {})
    report = time(planned_bundle, peak=True)
    assert report.notes == ["shares of the peak are left out: nothing here measures what cuda fp32 can do"]
    assert report.figures["denoiser"]["GFLOP"] > 0


def test_where_capture_is_refused_the_whole_is_in_stream_order(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    fake_gpu.fail_on = {"cuStreamBeginCapture"}
    report = time(planned_bundle)
    assert HOST not in report.measurements
    assert report.measurements[WHOLE] == report.measurements[IN_ORDER]
    assert str(report.totals["launches per clip"]).startswith("one for every call")


def test_steps_that_no_plan_takes_are_not_timed_in_another_way(planned_bundle: Path) -> None:
    with pytest.raises(EngineError, match="the plan takes 1 to 8 steps, not 9"):
        time(planned_bundle, steps=9)
