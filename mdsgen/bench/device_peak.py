"""What a GPU can do: its fastest matrix product and its fastest copy, measured with PyTorch where that is installed.

    python -m mdsgen.bench.device_peak "cuda fp16" "cuda bandwidth"

A peak on a GPU is a product of square matrices large enough to fill it; the bandwidth counts the bytes that a copy
within the device's memory reads, and those that it writes. It runs in a process of its own: its memory goes with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec

from mdsgen.bench.peak import Peak
from mdsgen.errors import MdsgenError

BANDWIDTH = "cuda bandwidth"
PREFIX = "cuda "
"""Of the data types that are computed in on a GPU: ``"cuda fp16"``."""

SIZES = (2048, 4096, 8192)
COPIED_BYTES = 1 << 29  # more than any GPU's cache
_SECONDS = 0.5  # per size
_LEAST_RUNS = 5

_TYPES = {"cuda fp16": "float16", "cuda bf16": "bfloat16", "cuda fp32": "float32"}
"""As PyTorch calls them. Products in FP32 may be in TF32, as TensorRT's are."""


def measure_device_peaks(data_types: Iterable[str]) -> dict[str, Peak]:
    """The peak of each data type, and :data:`BANDWIDTH` with them; nothing where there is no PyTorch or no GPU for it.

    Raises :class:`MdsgenError` where the measurement fails.
    """
    wanted = sorted({name for name in data_types if name in _TYPES})
    if not wanted or not find_spec("torch"):
        return {}
    program = [sys.executable, "-m", "mdsgen.bench.device_peak", *wanted, BANDWIDTH]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise MdsgenError(f"the GPU's peak could not be measured: {last}")
    return {name: Peak(**found) for name, found in json.loads(done.stdout).items()}


def find_device_peaks(names: Iterable[str], device: str = "cuda") -> dict[str, Peak]:
    """As :func:`measure_device_peaks`, in this process, on any device of PyTorch's."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return {}
    torch.backends.cuda.matmul.allow_tf32 = True
    peaks = {}
    for name in names:
        if name == BANDWIDTH:
            peaks[name] = Peak(2 * COPIED_BYTES / _copy(device), f"PyTorch, {COPIED_BYTES >> 20} MiB")
        else:
            found = {size: 2 * size**3 / _product(device, _TYPES[name], size) for size in SIZES}
            best = max(found, key=lambda size: found[size])
            peaks[name] = Peak(found[best], f"PyTorch, {best}")
    return peaks


def _product(device: str, data_type: str, size: int) -> float:
    """Seconds of one product, of random numbers: zeros would be faster."""
    import torch

    a, b = (torch.randn(size, size, device=device).to(getattr(torch, data_type)) for _ in range(2))
    out = torch.empty_like(a)
    return _fastest(lambda: torch.matmul(a, b, out=out), device)


def _copy(device: str) -> float:
    """Seconds of one copy."""
    import torch

    source = torch.randint(0, 256, (COPIED_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return _fastest(lambda: target.copy_(source), device)


def _fastest(run: Callable[[], object], device: str) -> float:
    """Seconds of the fastest run, after two that are not timed."""
    import torch

    synchronize = torch.cuda.synchronize if device == "cuda" else torch.cpu.synchronize
    best, runs = float("inf"), -2
    until = time.perf_counter() + _SECONDS
    while runs < _LEAST_RUNS or time.perf_counter() < until:
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        if runs >= 0:
            best = min(best, time.perf_counter() - start)
        runs += 1
    return best


def main() -> None:
    json.dump({name: vars(peak) for name, peak in find_device_peaks(sys.argv[1:]).items()}, sys.stdout)


if __name__ == "__main__":
    main()
