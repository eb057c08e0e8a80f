"""The loop of 25 guided steps beside PyTorch's, in one run; the only tests of the check that need PyTorch."""

from __future__ import annotations

import pytest

from mdsgen.bundle import Bundle
from tests.gpu import measured, there_is_no
from tests.gpu.conftest import SETTINGS

pytestmark = pytest.mark.gpu
TARGETS = {"eager": "torch-fp16", "compiled": "torch-compile"}


def test_the_loop_is_faster_than_pytorch_by_what_was_promised(bundle: Bundle) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        there_is_no(f"PyTorch {torch.__version__} finds no CUDA device")
    from mdsgen.bench.backends import parse
    from mdsgen.bench.comparison import Task, compare
    from mdsgen.bench.subject import Subject

    entries = parse("torch-fp16,torch-compile,tensorrt-stream,tensorrt")
    report = compare(entries, Subject(bundle), Task.named("loop", SETTINGS), 1, repeat=30, warmup=5, peak=False)
    print(report.page())
    median = {name: found.median for name, found in report.measurements.items()}
    met = {target: measured(target, median[name] / median["tensorrt"]) for target, name in TARGETS.items()}
    assert met == dict.fromkeys(TARGETS, True)
