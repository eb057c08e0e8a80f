"""What the machine can do: its fastest matrix product, per data type, in whichever library that is installed.

    python -m mdsgen.bench.peak THREADS fp32 bf16 int8

A peak that nobody computed is a number from a brochure: here it is the best single product seen, of square matrices, on
as many threads as what is compared with it. It runs in a process of its own, since NumPy's threads are chosen when it
is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mdsgen.errors import EngineError, MdsgenError

DATA_TYPES = ("fp32", "bf16", "int8")
SIZES = (1024, 2048)
_SECONDS = 0.2  # per library and size
_LEAST_RUNS = 3

Product = Callable[[], object]


@dataclass(frozen=True)
class Peak:
    """Operations per second, and where they were seen, as in ``"PyTorch, 2048"``."""

    per_second: float
    where: str


def measure_peaks(threads: int, data_types: Iterable[str]) -> dict[str, Peak]:
    """The peak of each data type on ``threads`` threads; a type that no library here computes in is left out."""
    wanted = [name for name in DATA_TYPES if name in set(data_types)]
    if not wanted:
        return {}
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = dict.fromkeys(pools, str(threads))
    return peaks_of("the matrix peak", "mdsgen.bench.peak", [str(threads), *wanted], environment)


def peaks_of(
    what: str, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Peak]:
    """What a module measures in a process of its own. Raises :class:`MdsgenError` with its last line where it fails."""
    program, variables = [sys.executable, "-m", module, *arguments], {**os.environ, **(environment or {})}
    done = subprocess.run(program, env=variables, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()
    if done.returncode or not said:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise MdsgenError(f"{what} could not be measured: {last}")
    return {name: Peak(**found) for name, found in json.loads(said[-1]).items()}


def find_peaks(threads: int, data_types: Iterable[str]) -> dict[str, Peak]:
    """As :func:`measure_peaks`, in this process."""
    peaks: dict[str, Peak] = {}
    for data_type in data_types:
        for size in SIZES:
            for library, make in _LIBRARIES.items():
                with suppress(Exception), make(data_type, size, threads) as product:  # a library that cannot is none
                    found = 2 * size**3 / fastest(partial(_seconds, product), _SECONDS)
                    if data_type not in peaks or found > peaks[data_type].per_second:
                        peaks[data_type] = Peak(found, f"{library}, {size}")
    return peaks


def peak_totals(peaks: Mapping[str, Peak]) -> dict[str, object]:
    """The peaks as rows of a report."""
    return {
        f"{name}, GB/s" if "bandwidth" in name else f"{name} matrix peak, GFLOP/s": (
            f"{peak.per_second / 1e9:,.0f} ({peak.where})"
        )
        for name, peak in peaks.items()
    }


def fastest(timed: Callable[[], float], seconds: float) -> float:
    """The least that ``timed`` gives while so many seconds pass, after a first one that does not count."""
    timed()
    until, found = time.perf_counter() + seconds, [timed() for _ in range(_LEAST_RUNS)]
    while time.perf_counter() < until:
        found.append(timed())
    return min(found)


def _seconds(product: Product) -> float:
    start = time.perf_counter()
    product()
    return time.perf_counter() - start


@contextmanager
def _numpy(data_type: str, size: int, threads: int) -> Iterator[Product]:
    if data_type != "fp32":
        raise TypeError(data_type)
    a, b = _operands(size)
    out = np.empty_like(a)
    yield lambda: np.matmul(a, b, out=out)


@contextmanager
def _torch(data_type: str, size: int, threads: int) -> Iterator[Product]:
    import torch

    torch.set_num_threads(threads)
    a, b = map(torch.from_numpy, _operands(size))
    if data_type == "int8":
        a, b = a.mul(30).to(torch.int8), b.mul(30).to(torch.int8)
        yield lambda: torch._int_mm(a, b)
        return
    if data_type == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
    yield lambda: torch.matmul(a, b)


@contextmanager
def _onnxruntime(data_type: str, size: int, threads: int) -> Iterator[Product]:
    from mdsgen.engines import EngineOptions, open_engine

    if data_type == "bf16":
        raise TypeError(data_type)
    with _one_product(data_type, size) as path, open_engine(path, "onnxruntime", EngineOptions(threads)) as engine:
        yield _bound(engine, size)


@contextmanager
def _openvino(data_type: str, size: int, threads: int) -> Iterator[Product]:
    from mdsgen.engines import EngineOptions, open_engine

    if data_type == "bf16" and not computes_bfloat16():
        raise TypeError(data_type)
    options = EngineOptions(threads, bfloat16=data_type == "bf16")
    with _one_product(data_type, size) as path, open_engine(path, "openvino", options) as engine:
        yield _bound(engine, size)


def computes_bfloat16() -> bool:
    """Whether OpenVINO is here and this processor is one on which it computes in bfloat16, not in FP32 instead."""
    from mdsgen.engines.openvino import import_openvino

    try:
        openvino = import_openvino()
    except EngineError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


_LIBRARIES = {"NumPy": _numpy, "PyTorch": _torch, "ONNX Runtime": _onnxruntime, "OpenVINO": _openvino}


def _bound(engine: Any, size: int) -> Product:
    a, _ = _operands(size)
    bound: Product = engine.bind({"a": a}, {"c": np.empty_like(a)})
    return bound


def _operands(size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((size, size), np.float32), random.standard_normal((size, size), np.float32)


@contextmanager
def _one_product(data_type: str, size: int) -> Iterator[Path]:
    """A graph of one product with a weight, ``a [N, N] -> c [N, N]``; in int8 with both sides quantised."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    _, weight = _operands(size)
    nodes, (left, right) = [], ("a", "b")
    constants: dict[str, Any] = {}
    if data_type == "int8":
        constants = {"scale": np.float32(0.05), "zero": np.uint8(128), "none": np.int8(0)}
        constants["b.int8"] = np.clip(np.round(weight / 0.05), -127, 127).astype(np.int8)
        nodes = [
            helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["a.uint8"]),
            helper.make_node("DequantizeLinear", ["a.uint8", "scale", "zero"], ["a.rounded"]),
            helper.make_node("DequantizeLinear", ["b.int8", "scale", "none"], ["b.rounded"]),
        ]
        left, right = "a.rounded", "b.rounded"
    else:
        constants["b"] = weight
    nodes.append(helper.make_node("MatMul", [left, right], ["c"]))
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("a", "c")]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "product", tensors[:1], tensors[1:], weights)
    with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder:
        path = Path(folder) / "product.onnx"
        save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        yield path


def main() -> None:
    threads, data_types = int(sys.argv[1]), sys.argv[2:]
    json.dump({name: vars(peak) for name, peak in find_peaks(threads, data_types).items()}, sys.stdout)


if __name__ == "__main__":
    main()
