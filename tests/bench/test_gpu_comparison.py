"""What ``make gpu`` compares, all in one run: PyTorch on the processor, and TensorRT on its stand-in."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from mdsgen.bench import cuda_contenders
from mdsgen.bench.comparison import Task, compare
from mdsgen.bench.contenders import parse
from mdsgen.bench.cuda_contenders import Compiled, Eager
from mdsgen.bench.subject import Subject
from mdsgen.bundle import Bundle
from mdsgen.export import export_bundle, verification_frames
from mdsgen.export.models import Models
from mdsgen.geometry import PAPER
from mdsgen.sampling import Sampling
from tests.planned import machine, write_plans

CONTENDERS = ["torch-fp16", "torch-compile", "tensorrt-stream", "tensorrt"]


@pytest.fixture(scope="module")
def exported(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle(models, folder, precision="fp32", frames=verification_frames(PAPER))
    return folder


@pytest.mark.parametrize("trt_major", [10], indirect=True)
@pytest.mark.usefixtures("fake_gpu")
def test_all_four_take_turns_at_the_same_network(
    exported: Path, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "bundle"))
    write_plans(folder, machine())
    monkeypatch.setattr(cuda_contenders, "eager", lambda source, threads: Eager(source, "cpu", torch.float32))
    compiled = partial(Compiled, device="cpu", dtype=torch.float32, compiler=lambda module: module)
    monkeypatch.setattr(cuda_contenders, "compiled", lambda source, threads: compiled(source))
    subject = Subject(Bundle.open(folder))
    subject.models = models
    for of in ("loop", "clip"):
        task = Task.named(of, Sampling(3, 5.0, 0.01), torch_steps=3 if of == "clip" else None)
        report = compare(parse(",".join(CONTENDERS)), subject, task, 1, repeat=1, warmup=0, peak=False)
        assert list(report.measurements) == CONTENDERS
        assert all(report.figures[name]["dB"] > 60 for name in CONTENDERS[1:])
        assert {str(report.settings[f"sampling, {name}"]) for name in CONTENDERS} == {
            "3 steps of dpm-2m, 6 denoiser passes"
        }
        assert report.settings["GPU"] == "Fake GPU, sm_87, CUDA 12.6"
