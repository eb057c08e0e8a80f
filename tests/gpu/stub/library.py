"""The stub of CUDA's driver: compiled here, found by whoever loads ``libcuda.so.1``."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).parent / "cuda.c"
FILE = "libcuda.so.1"


def missing() -> str:
    """Why there is no stub here; empty where there is one."""
    return "" if shutil.which("gcc") else "no gcc to compile the stub of the driver with"


def build(folder: Path) -> Path:
    """Compile the stub into ``folder``."""
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-shared", "-fPIC", "-pthread"]
    target = folder / FILE
    command = ["gcc", *options, f"-Wl,-soname,{FILE}", "-o", target, SOURCE, "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    return target


def load() -> ctypes.CDLL:
    """The stub that this process runs on."""
    library = ctypes.CDLL(FILE)
    for name in ("stub_report", "stub_left", "stub_call"):
        getattr(library, name).restype = ctypes.c_char_p
    library.stub_calls.restype = ctypes.c_long
    library.stub_call.argtypes = [ctypes.c_long]
    library.stub_fail.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int]
    library.stub_inside.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    return library


def environment(folder: Path) -> dict[str, str]:
    """The variables with which a Python process runs on the stub, compiled into ``folder``, where its report is, too.

    pycuda and cuda-bindings are the real ones where they are installed.
    """
    build(folder)
    here = Path(__file__).parent
    paths = [here / "libraries"]
    if not (find_spec("pycuda") and find_spec("cuda")):
        paths.append(here / "bindings")
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, here.parents[2]])),
        "CUDA_HOME": str(here / "toolkit"),
        "MDSGEN_CACHE": str(folder / "cache"),
        "MDSGEN_STUB_REPORT": str(folder / "report"),
        "OMP_NUM_THREADS": "1",
    }
