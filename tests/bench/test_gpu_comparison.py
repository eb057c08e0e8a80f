"""What ``make gpu`` compares, all in one run: PyTorch on the processor, and TensorRT on its stand-in."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from mdsgen.bench import torch_backends, torch_compiled
from mdsgen.bench.backends import parse
from mdsgen.bench.comparison import Task, compare
from mdsgen.bench.subject import Subject
from mdsgen.bench.torch_backends import Eager
from mdsgen.bench.torch_compiled import Compiled
from mdsgen.bundle import Bundle, write_manifest
from mdsgen.export.models import Models
from mdsgen.sampling import Sampling
from tests.planned import machine, write_plans

BACKENDS = ["torch-fp16", "torch-compile", "tensorrt-stream", "tensorrt"]


@pytest.mark.parametrize("trt_major", [10], indirect=True)
@pytest.mark.usefixtures("fake_gpu")
def test_all_four_take_turns_at_the_same_network(
    subject: Subject, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(subject.bundle.folder, tmp_path / "bundle"))
    write_manifest(folder, subject.bundle.manifest)
    write_plans(folder, machine())
    monkeypatch.setattr(torch_backends, "published_on_gpu", partial(Eager, device="cpu", dtype=torch.float32))
    compiled = partial(Compiled, device="cpu", dtype=torch.float32, compiler=lambda module: module)
    monkeypatch.setattr(torch_compiled, "Compiled", compiled)
    planned = Subject(Bundle.open(folder))
    planned.models = models
    for of in ("loop", "clip"):
        task = Task.named(of, Sampling(3, 5.0, 0.01), torch_steps=3 if of == "clip" else None)
        report = compare(parse(",".join(BACKENDS)), planned, task, 1, repeat=1, warmup=0, peak=False)
        assert list(report.measurements) == BACKENDS
        assert all(report.figures[name]["dB"] > 60 for name in BACKENDS[1:])
        assert {str(report.settings[f"sampling, {name}"]) for name in BACKENDS} == {
            "3 steps of dpm-2m, 6 denoiser passes"
        }
        assert report.settings["GPU"] == "Fake GPU, sm_87, CUDA 12.6"
