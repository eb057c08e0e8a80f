"""What the machine can do: the speed of one large matrix product in a data type, and what share of it was reached.

    python -m mdsgen.bench.peak THREADS SIZE fp32 "cuda fp16"

The product is PyTorch's, on a processor NumPy's in FP32 where PyTorch is not installed. It runs in a process of its
own: its memory goes with it, and NumPy's threads are chosen when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np

from mdsgen.errors import MdsgenError

SIZE, DEVICE_SIZE = 2048, 8192
"""Of the square matrices, on a processor and on a GPU: large enough to fill it."""

_CUDA = "cuda "
_TYPES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
_SECONDS, _LEAST_RUNS = 0.3, 3
_IN_A_ROW = 4  # on a GPU, before it is waited for
_TIMEOUT = 300
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Product = Callable[[], object]


@dataclass(frozen=True)
class Peak:
    """Operations per second, and where they were seen, as in ``"PyTorch, 2048"``."""

    per_second: float
    where: str


def machine_peaks(threads: int, data_types: Iterable[str]) -> tuple[dict[str, Peak], list[str]]:
    """The peak of each data type, and a sentence for what there is none of. GPU types begin with ``"cuda "``."""
    wanted, peaks, notes = sorted(set(data_types)), {}, []
    try:
        peaks = measure_peaks(threads, wanted)
    except (MdsgenError, OSError, ValueError) as error:  # what was timed is reported all the same
        notes.append(str(error))
    if missing := ", ".join(name for name in wanted if name not in peaks):
        notes.append(f"shares of the peak are left out: nothing here measures what {missing} can do")
    return peaks, notes


def measure_peaks(threads: int, data_types: Iterable[str], size: int = 0) -> dict[str, Peak]:
    """The peak of each data type, measured in a process of its own; a type that nothing here computes in is left out.

    ``size`` 0 is :data:`SIZE` or :data:`DEVICE_SIZE`. Raises :class:`MdsgenError` where the process fails.
    """
    program = [sys.executable, "-m", "mdsgen.bench.peak", str(threads), str(size), *data_types]
    environment = {**os.environ, **dict.fromkeys(_POOLS, str(threads))}
    try:
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise MdsgenError(f"the matrix peak could not be measured: no end after {_TIMEOUT} s") from error
    said = done.stdout.strip().splitlines()
    if done.returncode or not said:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise MdsgenError(f"the matrix peak could not be measured: {last}")
    return {name: Peak(**found) for name, found in json.loads(said[-1]).items()}


def find_peaks(threads: int, data_types: Iterable[str], size: int = 0) -> dict[str, Peak]:
    """As :func:`measure_peaks`, in this process."""
    peaks: dict[str, Peak] = {}
    for name in data_types:
        side = size or (DEVICE_SIZE if name.startswith(_CUDA) else SIZE)
        product, library, runs = _product(name, side, threads)
        if product is not None:
            peaks[name] = Peak(runs * 2 * side**3 / _fastest(product), f"{library}, {side}")
    return peaks


def peak_totals(peaks: Mapping[str, Peak]) -> dict[str, object]:
    """The peaks as rows of a report."""
    return {
        f"{name} matrix peak, GFLOP/s": f"{peak.per_second / 1e9:,.0f} ({peak.where})" for name, peak in peaks.items()
    }


def add_shares(figures: dict[str, float], flop: int, seconds: float, data_type: str, peaks: Mapping[str, Peak]) -> None:
    """Add the speed and the share of the data type's peak to ``figures``."""
    reached = flop / seconds
    figures["GFLOP/s"] = reached / 1e9
    if data_type in peaks:
        figures["% of peak"] = 100 * reached / peaks[data_type].per_second


def _product(name: str, size: int, threads: int) -> tuple[Product | None, str, int]:
    """What computes the product, in which library, and how often in one call; None where nothing here can."""
    if find_spec("torch"):
        return _torch_product(name, size, threads)
    if name != "fp32":
        return None, "", 0
    a, b = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    out = np.empty_like(a)
    return partial(np.matmul, a, b, out=out), "NumPy", 1


def _torch_product(name: str, size: int, threads: int) -> tuple[Product | None, str, int]:
    """Of random numbers: zeros would be faster."""
    import torch

    device, kind = ("cuda", name.removeprefix(_CUDA)) if name.startswith(_CUDA) else ("cpu", name)
    if kind not in _TYPES or (device == "cuda" and not torch.cuda.is_available()):
        return None, "", 0
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    if kind == "int8":
        left, right = a.mul(30).to(torch.int8), b.mul(30).to(torch.int8).t()  # transposed, as cuBLAS wants it
        multiply: Product = partial(torch._int_mm, left, right)
    else:
        a, b = (operand.to(getattr(torch, _TYPES[kind])) for operand in (a, b))
        out = torch.empty_like(a)
        multiply = partial(torch.matmul, a, b, out=out)
    if device == "cpu":
        return multiply, "PyTorch", 1

    def in_a_row() -> None:
        for _ in range(_IN_A_ROW):
            multiply()
        torch.cuda.synchronize()

    return in_a_row, "PyTorch", _IN_A_ROW


def _fastest(product: Product) -> float:
    """The least seconds of several runs, after one that does not count."""
    product()
    found: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(found) < _LEAST_RUNS or time.perf_counter() < until:
        start = time.perf_counter()
        product()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    threads, size, *data_types = sys.argv[1:]
    json.dump({name: vars(peak) for name, peak in find_peaks(int(threads), data_types, int(size)).items()}, sys.stdout)


if __name__ == "__main__":
    main()
