"""CUDA C++ to machine code for one architecture: with nvcc, or with NVRTC where there is only CUDA's runtime."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

from mdsgen.errors import KernelError
from mdsgen.kernels.sources import KernelSource, headers

OPTIONS = ("--std=c++14",)
"""For every source, beside its own; the same words for both compilers."""

_SHOWN_LINES = 12  # of what a compiler complains about


class Compiler(Protocol):
    """What makes a cubin of a source."""

    @property
    def version(self) -> str:
        """Which compiler of which toolkit, such as ``"nvcc 12.6.68"``."""

    def cubin(self, source: KernelSource, architecture: str) -> bytes:
        """Machine code for an architecture (``"sm_87"``). Raises :class:`KernelError` with the compiler's own words."""


def architecture_of(capability: tuple[int, int]) -> str:
    """The name of a compute capability: ``(8, 7)`` is ``"sm_87"``."""
    major, minor = capability
    return f"sm_{major}{minor}"


def find_compiler() -> Compiler:
    """nvcc of $CUDA_HOME or else on the PATH; without it NVRTC. Raises :class:`KernelError` where there is neither."""
    nvcc = find_nvcc()
    if nvcc is not None:
        return Nvcc(nvcc)
    try:
        return Nvrtc()
    except KernelError as error:
        raise KernelError(
            "no CUDA compiler: expected nvcc on the PATH or in $CUDA_HOME/bin, or NVRTC; install the CUDA toolkit"
            f" (on a Jetson: cuda-nvcc), or pip install 'mdsgen[tensorrt]' nvidia-cuda-nvrtc ({error})"
        ) from error


def find_nvcc() -> Path | None:
    """The nvcc that would be used."""
    home = os.environ.get("CUDA_HOME")
    found = (home and shutil.which("nvcc", path=os.path.join(home, "bin"))) or shutil.which("nvcc")
    return Path(found) if found else None


class Nvcc:
    """The CUDA toolkit's compiler, as a process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        said = self._run("--version")
        release = re.search(r"\bV(\d+(?:\.\d+)+)", said)
        if release is None:
            raise KernelError(f"{path} --version names no release: is it nvcc? It says: {_shown(said)}")
        self.version = f"nvcc {release[1]}"

    def cubin(self, source: KernelSource, architecture: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="mdsgen-kernels-") as folder:
            made = Path(folder, f"{source.name}.cubin")
            options = (*OPTIONS, *source.options, f"-arch={architecture}")
            self._run("--cubin", *options, "-o", str(made), str(source.path), doing=f"{source.name} for {architecture}")
            return made.read_bytes()

    def _run(self, *arguments: str, doing: str = "its version") -> str:
        try:
            result = subprocess.run([self._path, *arguments], capture_output=True, text=True, check=False)
        except OSError as error:
            raise KernelError(f"cannot run {self._path}: {error.strerror}") from error
        said = result.stdout + result.stderr
        if result.returncode:
            raise KernelError(f"{self._path} failed on {doing}: {_shown(said)}")
        return said


class Nvrtc:
    """CUDA's compiler as a library, through cuda-bindings. It needs no host compiler and no CUDA headers."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import nvrtc
        except ImportError as error:
            raise KernelError(f"NVRTC needs cuda-bindings: {error}") from error
        self._nvrtc: Any = nvrtc
        try:
            major, minor = self._call(nvrtc.nvrtcVersion)
        except (RuntimeError, OSError) as error:  # cuda-bindings looks for the library when it is first called
            raise KernelError(f"NVRTC's library cannot be loaded: {_shown(str(error))}") from error
        self.version = f"nvrtc {major}.{minor}"

    def cubin(self, source: KernelSource, architecture: str) -> bytes:
        beside = {name.encode(): text.encode() for name, text in headers().items()}
        text, name = source.path.read_bytes(), source.path.name.encode()
        names, texts = list(beside.keys()), list(beside.values())
        program = self._call(self._nvrtc.nvrtcCreateProgram, text, name, len(beside), texts, names)
        try:
            options = [*OPTIONS, *source.options, f"--gpu-architecture={architecture}"]
            try:
                self._call(self._nvrtc.nvrtcCompileProgram, program, len(options), [o.encode() for o in options])
            except KernelError as error:
                log = self._bytes(self._nvrtc.nvrtcGetProgramLogSize, self._nvrtc.nvrtcGetProgramLog, program)
                said = _shown(log.rstrip(b"\0").decode(errors="replace") or str(error))
                raise KernelError(f"{self.version} failed on {source.name} for {architecture}: {said}") from error
            return self._bytes(self._nvrtc.nvrtcGetCUBINSize, self._nvrtc.nvrtcGetCUBIN, program)
        finally:
            self._call(self._nvrtc.nvrtcDestroyProgram, program)

    def _bytes(self, size: Any, read: Any, program: Any) -> bytes:
        buffer = bytes(self._call(size, program))  # written into, as cuda-bindings has it
        self._call(read, program, buffer)
        return buffer

    def _call(self, function: Any, *arguments: Any) -> Any:
        """One result, or a tuple of several; NVRTC's own return every call's status first."""
        status, *results = function(*arguments)
        if int(status) != 0:
            raise KernelError(f"{function.__name__}: {getattr(status, 'name', status)}")
        return results[0] if len(results) == 1 else tuple(results)


def _shown(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return "\n".join(lines[:_SHOWN_LINES]) or "it does not say why"
