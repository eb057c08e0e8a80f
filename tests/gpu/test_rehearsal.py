"""The whole check without a GPU, on a stub of CUDA's driver compiled here: names, arguments, orders, lifetimes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.fake_tensorrt import VERSIONS
from tests.gpu.stub.library import environment, missing
from tests.planned import Machine, write_plans

ROOT = Path(__file__).parents[2]
STUB = Machine(VERSIONS[10], "Stub GPU", "9.0", "13.0")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if why := missing():
        pytest.skip(why)
    return tmp_path_factory.mktemp("stub")


@pytest.fixture(scope="module")
def bundle(folder: Path, bundle_path: Path) -> Path:
    """The small one, with plans for the stub."""
    made = folder / "bundle"
    shutil.copytree(bundle_path, made)
    write_plans(made, STUB)
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs Python on the stub: what it says, its status, and that the stub has nothing to complain of."""
    variables = environment(folder)
    report = Path(variables["MDSGEN_STUB_REPORT"])

    def on_stub(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        report.unlink(missing_ok=True)
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert (report.read_text() if report.exists() else "") == ""
        return done

    return on_stub


def test_the_check_goes_through_all_its_parts(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    pytest.importorskip("onnx", reason="building plans needs ONNX")
    command = [sys.executable, "-m", "tests.gpu", "--rehearse", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {r["part"]: r["outcome"] for r in json.loads((tmp_path / "out" / "results.json").read_text())}
    ran = ["imports and device", "kernels against float64", "plans", "graph against stream order"]
    assert [results[part] for part in [*ran, "loop and clip, TensorRT"]] == ["passed"] * 5
    assert results["memcheck"] == "not run: a rehearsal has no compute-sanitizer"
    said = done.stdout.split("=== summary")[1].splitlines()
    ends = {line[:8]: line.rsplit("  ", 1)[1] for line in said if "  " in line}
    assert {ends[word] for word in ("kernels ", "worst pl", "samples ", "launches", "device m")} == {"met"}
    assert (ends["host bet"], ends["races in"]) == ("rehearsed", "not run")


@pytest.mark.parametrize("failure", [["2"], ["719", "for-good"], ["901"]], ids=["memory", "device lost", "capture"])
def test_whichever_call_fails_it_is_one_line_and_everything_is_given_back(
    run: Run, bundle: Path, failure: list[str]
) -> None:
    done = run("-m", "tests.gpu.stub.faults", bundle, *failure)
    assert " calls failed in turn, 0 wrongly" in done.stdout


LIFETIMES = """
import sys, threading
import numpy as np
from mdsgen import Pipeline, Sampling
from mdsgen.engines import open_engine
for _ in range(100):
    open_engine(sys.argv[1] + "/vocoder.onnx", "tensorrt").close()
pipeline, sounds = Pipeline.open(sys.argv[1], "tensorrt"), []
frames = np.zeros((32, 224, 224, 3), np.uint8)
for _ in range(2):
    thread = threading.Thread(target=lambda: sounds.append(pipeline(frames, sampling=Sampling(steps=2), seed=0).audio))
    thread.start()
    thread.join()
sounds.append(pipeline(frames, sampling=Sampling(steps=2), seed=0).audio)
assert np.array_equal(sounds[0], sounds[1]) and np.array_equal(sounds[0], sounds[2])
print("not closed")
"""


def test_a_process_opens_again_and_again_uses_threads_and_ends_without_closing(run: Run, bundle: Path) -> None:
    done = run("-c", LIFETIMES, bundle)
    assert (done.stdout, done.stderr) == ("not closed\n", "")


FORGOTTEN = """
import pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).retain_primary_context()
context.push()
"""


def test_a_context_that_is_not_popped_ends_the_process_as_with_pycuda(run: Run) -> None:
    done = run("-c", FORGOTTEN, status=-6)
    assert "The context stack was not empty" in done.stderr


WRONG = """
import ctypes
import numpy as np
import pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).retain_primary_context()
context.push()
stream, memory = cuda.Stream(1), cuda.mem_alloc(16)
pinned = cuda.pagelocked_empty((5,), np.float32)
address = int(memory)

def refused(call, *arguments):
    try:
        call(*arguments)
    except cuda.Error:
        return
    raise SystemExit(f"{call} {arguments} was taken")

refused(cuda.memcpy_htod_async, address, np.zeros(4, np.float32), stream)
refused(cuda.memcpy_htod_async, address, pinned, stream)
memory.free()
refused(cuda.memcpy_htod_async, address, pinned[:4], stream)
refused(memory.free)
library = ctypes.CDLL("libcuda.so.1")
library.cuStreamSynchronize(ctypes.c_void_p(16))
pinned.base.free()
del stream
context.pop()
context.detach()
"""


def test_the_stub_sees_what_it_is_there_for(run: Run) -> None:
    complaints = [
        "cuMemcpyHtoDAsync: 16 bytes at 0x… are no pinned memory",
        "cuMemcpyHtoDAsync: 20 bytes past the end of device memory",
        "cuMemcpyHtoDAsync: 16 bytes in freed device memory",
        "cuStreamSynchronize: 0x10 is no stream",
    ]
    with pytest.raises(AssertionError) as failed:
        run("-c", WRONG)
    for complaint in complaints:
        start, _, end = complaint.partition("…")
        assert start in str(failed.value)
        assert end in str(failed.value)
