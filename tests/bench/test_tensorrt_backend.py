"""Plans compute what the graphs do, with everything on the device, as one graph and in stream order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bench.backends import Entry, parse
from mdsgen.bench.comparison import Task, compare
from mdsgen.bench.subject import Subject
from mdsgen.bundle import CONDITIONING, Bundle
from mdsgen.engines import open_engine
from mdsgen.errors import EngineError
from mdsgen.runtime.device_window import TABLE_COLUMNS
from mdsgen.sampling import Sampling
from tests.bench.stand_ins import paper_inputs
from tests.engines.fake_gpu import FakeGpu

pytestmark = pytest.mark.parametrize("trt_major", [10], indirect=True)
SETTINGS = Sampling(3, 2.0, 0.01)


@pytest.mark.parametrize("of", ["step", "loop", "clip"])
@pytest.mark.usefixtures("fake_gpu")
def test_both_ways_are_the_network_that_the_graphs_are(planned_bundle: Path, of: str) -> None:
    subject = Subject(Bundle.open(planned_bundle))
    entries = parse("onnxruntime,tensorrt-stream,tensorrt")
    report = compare(entries, subject, Task.named(of, SETTINGS), 1, repeat=1, warmup=0, peak=False)
    for name in ("tensorrt", "tensorrt-stream"):
        assert report.figures[name]["dB"] > 80
        assert report.figures[name]["device MB"] > 0
    assert "one CUDA graph" in report.descriptions["tensorrt"]
    assert "in stream order" in report.descriptions["tensorrt-stream"]


@pytest.mark.usefixtures("fake_gpu")
def test_memory_is_that_of_what_is_timed_not_of_the_check(planned_bundle: Path) -> None:
    """Modulations, timesteps and table of 8 steps instead of 2; plans, activations and pictures are the same."""

    def held(steps: int) -> float:
        entries, subject = parse("onnxruntime,tensorrt"), Subject(Bundle.open(planned_bundle))
        task = Task.named("clip", replace(SETTINGS, steps=steps))
        report = compare(entries, subject, task, 1, repeat=1, warmup=0, peak=False)
        return 1e6 * report.figures["tensorrt"]["device MB"]

    with open_engine(Bundle.open(planned_bundle).path(CONDITIONING), "onnxruntime") as engine:
        (modulations,) = engine.outputs
    a_step = 4 * int(np.prod([int(length) for length in modulations.shape[1:]]) + TABLE_COLUMNS + 1)
    assert held(8) - held(2) == pytest.approx(6 * a_step, abs=1)


def test_the_next_run_takes_the_place_of_the_last_one(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    backend = Entry("tensorrt").make(Subject(Bundle.open(planned_bundle)), 1)
    held = []
    for begin in (backend.loop, backend.clip, backend.loop):
        begin(paper_inputs(), SETTINGS)()
        held.append(fake_gpu.leaks())
    assert held[0] == held[2]
    assert held[1]["executables"] == 1
    backend.close()


def test_the_automatic_choice_is_not_compared_where_it_is_a_gpu_s(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    subject = Subject(Bundle.open(planned_bundle))
    for of in ("step", "loop", "clip"):
        with pytest.raises(EngineError, match=r"auto is tensorrt here, .* compare tensorrt or tensorrt-stream by name"):
            compare(parse("onnxruntime,auto"), subject, Task.named(of, SETTINGS), 1, repeat=1, warmup=0, peak=False)
        assert fake_gpu.leaks() == {}


def test_without_timings_no_events_are_recorded(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    backend = Entry("tensorrt-stream").make(Subject(Bundle.open(planned_bundle)), 1)
    for begin in (backend.loop, backend.clip):
        begin(paper_inputs(), SETTINGS)()
    assert "record" not in fake_gpu.calls
    backend.close()


def test_a_loop_is_one_launch_and_moves_what_it_begins_with_and_its_latent_alone(
    planned_bundle: Path, fake_gpu: FakeGpu
) -> None:
    backend, inputs = Entry("tensorrt").make(Subject(Bundle.open(planned_bundle)), 1), paper_inputs()
    loop = backend.loop(inputs, SETTINGS)
    captured = fake_gpu.calls[fake_gpu.calls.index("cuStreamBeginCapture") : fake_gpu.calls.index("cuStreamEndCapture")]
    assert [call for call in captured if call.startswith("memcpy")] == [
        *["memcpy_htod_async"] * 2,
        "memcpy_dtoh_async",
    ]
    assert captured.count("execute_async_v3") == 1 + 3  # conditioning, then the steps
    done = len(fake_gpu.calls)
    first = loop().copy()
    assert fake_gpu.calls[done:] == ["cuGraphLaunch", "synchronize"]
    np.testing.assert_array_equal(loop(), first)
    inputs.latent[...] *= -1
    assert not np.array_equal(loop(), first)
    backend.close()


def test_in_stream_order_nothing_is_captured(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    backend = Entry("tensorrt-stream").make(Subject(Bundle.open(planned_bundle)), 1)
    for begin in (backend.loop, backend.clip):
        begin(paper_inputs(), SETTINGS)()
    assert "cuStreamBeginCapture" not in fake_gpu.calls
    backend.close()


@pytest.mark.parametrize("of", ["loop", "clip"])
def test_what_is_not_a_graph_is_not_timed_as_one(planned_bundle: Path, fake_gpu: FakeGpu, of: str) -> None:
    fake_gpu.fail_on = {"cuGraphInstantiate"}
    backend = Entry("tensorrt").make(Subject(Bundle.open(planned_bundle)), 1)
    with pytest.raises(EngineError, match="not one CUDA graph here, see the warning: compare tensorrt-stream"):
        getattr(backend, of)(paper_inputs(), SETTINGS)
    backend.close()
