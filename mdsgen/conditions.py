"""Under which conditions something was measured: without them a figure says nothing."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

_PACKAGES = ("mdsgen", "numpy", "onnxruntime", "openvino", "tensorrt", "torch")


def conditions() -> dict[str, object]:
    """The machine, how busy it is, and the versions of what computes on it; None where something is not installed."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "load average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version_of(package) for package in _PACKAGES},
    }


def _processor() -> str:
    """The processor's name; Linux on Arm gives none, and the architecture stands for it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(names, platform.processor() or platform.machine())


@functools.cache
def processor_facts() -> str:
    """What tells one processor from another, and how many of it there are."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return f"{platform.processor()} {platform.machine()} {os.cpu_count()}"
    facts = ("model name", "cpu family", "model\t", "stepping", "flags", "Features", "CPU part")
    lines = info.read_text(encoding="utf-8").splitlines()
    return "\n".join(sorted({line for line in lines if line.startswith(facts)})) + f"\n{os.cpu_count()}"


def usable_cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version_of(package: str) -> str | None:
    """Of a package; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # 10 ms, which many who import this do not need

    try:
        return version(package)
    except PackageNotFoundError:
        return None
