"""Backends compute the same in one run, or are not compared at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from mdsgen.bench import peak
from mdsgen.bench.backends import Backend, parse
from mdsgen.bench.comparison import LEAST_REDUCED, STEP, Task, check_agreement, compare
from mdsgen.bench.peak import Peak
from mdsgen.bench.report import Report
from mdsgen.bench.subject import Subject
from mdsgen.bench.work import flop_of
from mdsgen.bundle import DENOISER, Bundle
from mdsgen.engines import EngineOptions, first_that_opens
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.geometry import PAPER
from mdsgen.runtime.networks import graph_options
from mdsgen.runtime.solver import passes_of, plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from tests.bench.stand_ins import paper_inputs

FAST = Sampling(3, 2.0, 0.01, "unipc-2", (0.0, 900.0), unconditional_every=2, clean_limit=4.0)


def run(names: str, subject: Subject, of: str = "step", repeat: int = 2, torch_steps: int = 4) -> Report:
    task = Task.named(of, FAST, torch_steps)
    return compare(parse(names), subject, task, 1, repeat=repeat, warmup=1, peak=False)


def test_ratios_and_decibels_are_against_the_first(subject: Subject) -> None:
    report = run("torch,torch-fused,onnxruntime", subject, repeat=3)
    medians = {name: found.median for name, found in report.measurements.items()}
    assert list(medians) == ["torch", "torch-fused", "onnxruntime"]
    for name, figures in report.figures.items():
        assert figures["times faster"] == pytest.approx(medians["torch"] / medians[name])
    assert "dB" not in report.figures["torch"]
    assert min(report.figures["torch-fused"]["dB"], report.figures["onnxruntime"]["dB"]) > 80
    assert report.settings["threads"] == 1
    assert "as published" in report.descriptions["torch"]


@pytest.mark.parametrize(
    ("of", "torch_sampling", "factor"),
    [
        ("loop", "3 steps of dpm-2m, 6 denoiser passes", False),
        ("clip", "4 steps of dpm-2m, 8 denoiser passes", True),
    ],
)
def test_loops_and_clips_say_how_each_side_samples(
    subject: Subject, of: str, torch_sampling: str, factor: bool
) -> None:
    report = run("torch,onnxruntime", subject, of, repeat=1)
    assert report.settings["sampling, torch"] == torch_sampling
    assert report.settings["sampling, onnxruntime"] == "3 steps of unipc-2, 4 denoiser passes"
    found = report.figures["onnxruntime"]
    assert found["dB"] > 60
    assert ("real-time factor" in found) == factor
    if factor:
        assert found["real-time factor"] == report.measurements["onnxruntime"].median / PAPER.duration


def test_the_published_clip_has_50_plain_steps_unless_told() -> None:
    published = Task.named("clip", FAST).published
    assert published == Sampling(50, 2.0, 0.01, "dpm-2m", clean_limit=4.0)
    assert passes_of(plan_steps(published, NoiseSchedule())) == 100
    assert Task.named("loop", FAST).published.steps == FAST.steps


def test_other_weights_are_not_compared(subject: Subject, bundle_path: Path) -> None:
    with pytest.raises(MdsgenError, match=r"not the same network as torch: onnxruntime@.* dB of 80;.*--untrained"):
        run(f"torch,onnxruntime@{bundle_path}", subject)


def test_a_reduced_precision_needs_to_be_less_close(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    names, inputs, task = ("one", "other"), paper_inputs(), Task.named("step", FAST)
    backends: dict[str, Backend] = {}
    for name in names:
        (entry,) = parse("onnxruntime")
        backends[name] = entry.make(subject, 1)
    other = backends["other"]
    step = other.step(inputs)
    monkeypatch.setattr(other, "step", lambda inputs: lambda: step() * 1.1)  # 20 dB
    with pytest.raises(MdsgenError, match=r"other 20\.0 dB of 80"):
        check_agreement(backends, task, inputs)
    for precision in ("bf16", "int8"):
        other.precision = precision
        assert check_agreement(backends, task, inputs)["other"] == pytest.approx(20, abs=0.01)
    monkeypatch.setattr(other, "step", lambda inputs: lambda: step() * 2)
    with pytest.raises(MdsgenError, match=f"0.0 dB of {LEAST_REDUCED[STEP]:g}"):
        check_agreement(backends, task, inputs)
    for backend in backends.values():
        backend.close()


def test_any_bundle_s_weights_are_compared_without_pytorch(bundle_path: Path) -> None:
    report = run(f"onnxruntime,onnxruntime@{bundle_path}", Subject(Bundle.open(bundle_path)))
    assert report.figures[f"onnxruntime@{bundle_path}"]["dB"] == float("inf")
    assert report.notes == []


def test_a_failure_leaves_pytorch_s_threads_alone(subject: Subject) -> None:
    before = torch.get_num_threads()
    with pytest.raises(EngineError, match="tensorrt"):
        compare(parse("torch,tensorrt"), subject, Task.named("step", FAST), before + 1, repeat=1, warmup=0)
    assert torch.get_num_threads() == before


def test_the_share_of_the_peak_is_of_the_graph_s_work(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(threads: int, data_types: Iterable[str]) -> dict[str, Peak]:
        assert (threads, set(data_types)) == (1, {"fp32"})
        return {"fp32": Peak(5e9, "a library, 1024")}

    monkeypatch.setattr(peak, "measure_peaks", measured)
    for of in ("step", "loop"):
        report = compare(parse("torch,onnxruntime"), subject, Task.named(of, FAST), 1, repeat=1, warmup=0)
        for name, found in report.measurements.items():
            reached = report.figures[name]["GFLOP/s"]
            assert report.figures[name]["% of peak"] == pytest.approx(reached / 5 * 100)
            work = reached * 1e9 * found.median
            step = flop_of(subject.path(DENOISER), branches=2)
            passes = 2 if of == "step" else 6 if name == "torch" else 4
            assert work == pytest.approx(step * passes / 2, rel=0.05)  # beside it: conditioning, patch embedding
        assert report.totals["fp32 matrix peak, GFLOP/s"] == "5 (a library, 1024)"


def test_a_peak_that_cannot_be_measured_is_a_note(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(threads: int, data_types: Iterable[str]) -> dict[str, Peak]:
        raise OSError("no memory for a process")

    monkeypatch.setattr(peak, "measure_peaks", failing)
    report = compare(parse("torch,onnxruntime"), subject, Task.named("step", FAST), 1, repeat=1, warmup=0)
    assert list(report.measurements) == ["torch", "onnxruntime"]
    assert report.notes == [
        "no memory for a process",
        "shares of the peak are left out: nothing here measures what fp32 can do",
    ]


def test_without_onnx_the_share_is_left_out_and_said_to_be(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    subject, task = Subject(Bundle.open(bundle_path)), Task.named("step", FAST)
    report = compare(parse("onnxruntime,auto"), subject, task, 1, repeat=1, warmup=0)
    assert report.totals == {}
    assert "matrix peak is left out" in report.notes[0]


def test_the_automatic_choice_is_held_against_what_was_measured(bundle_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    subject = Subject(Bundle.open(bundle_path))
    report = run("onnxruntime,openvino", subject, repeat=5)
    options = graph_options(DENOISER, EngineOptions(1), PAPER)
    chosen = first_that_opens("auto", subject.path(DENOISER), lambda name: name, options)
    fastest = min(report.measurements, key=lambda name: report.measurements[name].median)
    (note,) = report.notes
    assert note.startswith(f"--engine auto takes {chosen}, ")
    assert ("the faster one here, too" in note) == (chosen == fastest)
