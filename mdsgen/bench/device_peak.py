"""What a GPU can do: its fastest matrix product and its fastest copy, measured with PyTorch where that is installed.

    python -m mdsgen.bench.device_peak "cuda fp16" "cuda bandwidth"

A peak on a GPU is a product of square matrices large enough to fill it; the bandwidth counts the bytes that a copy
within the device's memory reads, and those that it writes. It runs in a process of its own: its memory goes with it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec

from mdsgen.bench.peak import Peak, fastest, peaks_of
from mdsgen.errors import EngineError

BANDWIDTH = "cuda bandwidth"

SIZES = (2048, 4096, 8192)
COPIED_BYTES = 1 << 29  # more than any GPU's cache
_SECONDS = 0.5  # per size
_IN_A_ROW = 4  # between two events, so that the time between two launches takes no part

_TYPES = {
    "cuda fp16": "float16",
    "cuda bf16": "bfloat16",
    "cuda fp32": "float32",
    "cuda tf32": "float32",
    "cuda int8": "int8",
}
"""As PyTorch calls them. FP32 is that of FP32 plans, which do not allow TF32; beside INT8 they do."""


def measure_device_peaks(data_types: Iterable[str]) -> dict[str, Peak]:
    """The peak of each data type, and :data:`BANDWIDTH` with them; nothing where there is no PyTorch or no GPU for it.

    Raises :class:`~mdsgen.errors.MdsgenError` where the measurement fails.
    """
    wanted = sorted({name for name in data_types if name in _TYPES})
    if not wanted or not find_spec("torch"):
        return {}
    return peaks_of("the GPU's peak", "mdsgen.bench.device_peak", [*wanted, BANDWIDTH])


def find_device_peaks(names: Iterable[str], device: str = "cuda") -> dict[str, Peak]:
    """As :func:`measure_device_peaks`, in this process, on any device of PyTorch's.

    Raises :class:`EngineError` where too little memory is free for the smallest product or copy.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return {}
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else sys.maxsize
    return {name: _bandwidth(device, free) if name == BANDWIDTH else _products(device, name, free) for name in names}


def _products(device: str, name: str, free: int) -> Peak:
    """The best size of those that fit: two operands and a result, and random numbers in FP32 to make them from."""
    import torch

    sizes = [size for size in SIZES if 4 * 4 * size**2 <= free // 2]
    if not sizes:
        raise EngineError(f"{free >> 20} MiB of the GPU's memory are free, too few for a product of {SIZES[0]}²")
    torch.set_float32_matmul_precision("high" if name == "cuda tf32" else "highest")
    found = {size: 2 * size**3 / fastest(_product(device, _TYPES[name], size), _SECONDS) for size in sizes}
    best = max(found, key=lambda size: found[size])
    return Peak(found[best], f"PyTorch, {best}")


def _bandwidth(device: str, free: int) -> Peak:
    """Of a copy, which takes half of what is free at most."""
    copied = min(COPIED_BYTES, free // 4)
    return Peak(2 * copied / fastest(_copy(device, copied), _SECONDS), f"PyTorch, {copied >> 20} MiB")


def _product(device: str, data_type: str, size: int) -> Callable[[], float]:
    """One product, of random numbers: zeros would be faster."""
    import torch

    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    if data_type == "int8":
        left, right = a.mul(30).to(torch.int8), b.mul(30).to(torch.int8).t()  # as cuBLAS wants them
        return _timed(lambda: torch._int_mm(left, right), device)
    a, b = a.to(getattr(torch, data_type)), b.to(getattr(torch, data_type))
    out = torch.empty_like(a)
    return _timed(lambda: torch.matmul(a, b, out=out), device)


def _copy(device: str, copied: int) -> Callable[[], float]:
    import torch

    source = torch.randint(0, 256, (copied,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return _timed(lambda: target.copy_(source), device)


def _timed(run: Callable[[], object], device: str) -> Callable[[], float]:
    """Gives seconds of one run out of several in a row: by events on a GPU, else by the clock."""
    import torch

    def by_events() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(_IN_A_ROW):
            run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000 / _IN_A_ROW  # milliseconds

    def by_the_clock() -> float:
        start = time.perf_counter()
        for _ in range(_IN_A_ROW):
            run()
        return (time.perf_counter() - start) / _IN_A_ROW

    return by_events if device == "cuda" else by_the_clock


def main() -> None:
    json.dump({name: vars(peak) for name, peak in find_device_peaks(sys.argv[1:]).items()}, sys.stdout)


if __name__ == "__main__":
    main()
