"""Plans compute what the graphs do, with everything on the device, as one graph and in stream order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdsgen.bench.comparison import Task, compare
from mdsgen.bench.contenders import Entry, parse
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bundle import Bundle
from mdsgen.errors import EngineError
from mdsgen.geometry import PAPER
from mdsgen.runtime.clip import SamplerSettings
from tests.engines.fake_gpu import FakeGpu

pytestmark = pytest.mark.parametrize("trt_major", [10], indirect=True)
SETTINGS = SamplerSettings(3, 2.0, 0.01)


@pytest.mark.parametrize("of", ["step", "loop", "clip"])
@pytest.mark.usefixtures("fake_gpu")
def test_both_ways_are_the_network_that_the_graphs_are(planned_bundle: Path, of: str) -> None:
    subject = Subject(Bundle.open(planned_bundle))
    entries = parse("onnxruntime,tensorrt-stream,tensorrt")
    report = compare(entries, subject, Task.named(of, SETTINGS), 1, repeat=1, warmup=0, peak=False)
    for name in ("tensorrt", "tensorrt-stream"):
        assert report.figures[name]["dB"] > 80
        assert report.figures[name]["device MB"] == 0  # the fake's memory is always as free
    assert "one CUDA graph" in report.descriptions["tensorrt"]
    assert "in stream order" in report.descriptions["tensorrt-stream"]


def test_a_loop_is_one_launch_and_moves_noise_and_latent_alone(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    contender, inputs = Entry("tensorrt").make(Subject(Bundle.open(planned_bundle)), 1), Inputs(PAPER)
    loop = contender.loop(inputs, SETTINGS)
    captured = fake_gpu.calls[fake_gpu.calls.index("cuStreamBeginCapture") : fake_gpu.calls.index("cuStreamEndCapture")]
    assert [call for call in captured if call.startswith("memcpy")] == ["memcpy_htod_async", "memcpy_dtoh_async"]
    assert captured.count("execute_async_v3") == 1 + 3  # conditioning, then the steps
    done = len(fake_gpu.calls)
    first = loop().copy()
    assert fake_gpu.calls[done:] == ["cuGraphLaunch", "synchronize"]
    np.testing.assert_array_equal(loop(), first)
    inputs.latent[...] *= -1
    assert not np.array_equal(loop(), first)
    contender.close()


def test_in_stream_order_nothing_is_captured(planned_bundle: Path, fake_gpu: FakeGpu) -> None:
    contender = Entry("tensorrt-stream").make(Subject(Bundle.open(planned_bundle)), 1)
    for run in (contender.loop(Inputs(PAPER), SETTINGS), contender.clip(Inputs(PAPER), SETTINGS)):
        run()
    assert "cuStreamBeginCapture" not in fake_gpu.calls
    contender.close()


@pytest.mark.parametrize("of", ["loop", "clip"])
def test_what_is_not_a_graph_is_not_timed_as_one(planned_bundle: Path, fake_gpu: FakeGpu, of: str) -> None:
    fake_gpu.fail_on = {"cuGraphInstantiate"}
    contender = Entry("tensorrt").make(Subject(Bundle.open(planned_bundle)), 1)
    with pytest.raises(EngineError, match="not one CUDA graph here, see the warning: compare tensorrt-stream"):
        getattr(contender, of)(Inputs(PAPER), SETTINGS)
    contender.close()
