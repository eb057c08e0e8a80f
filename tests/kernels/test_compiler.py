"""Which compiler is found, what it is asked, and what a person reads when it is missing or fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels.compiler import Nvcc, Nvrtc, architecture_of, find_compiler, find_nvcc
from mdsgen.kernels.sources import SOURCES, KernelSource, headers

STEP = SOURCES["step"]

FAKE_NVCC = """#!/bin/sh
echo "$@" >> "$0.asked"
if [ "$1" = --version ]; then echo "Cuda compilation tools, release 12.6, V12.6.68"; exit; fi
case "$*" in *sm_00*) echo "nvcc fatal : Unsupported gpu architecture 'sm_00'"; exit 1;; esac
while [ "$1" != -o ]; do shift; done
printf '\\177ELFcode' > "$2"
"""


@pytest.fixture
def nvcc(tmp_path: Path) -> Path:
    """Something that behaves like nvcc and writes down what it was asked."""
    return written(tmp_path / "bin" / "nvcc", FAKE_NVCC)


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any CUDA compiler."""
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)


def written(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


class FakeNvrtc(ModuleType):
    """cuda-bindings' nvrtc: statuses first, results after, buffers filled in place."""

    def __init__(self, status: int = 0) -> None:
        super().__init__("nvrtc")
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        for name, results in {
            "nvrtcVersion": (0, 12, 6),
            "nvrtcCreateProgram": (0, "program"),
            "nvrtcCompileProgram": (status,),
            "nvrtcGetProgramLogSize": (0, 40),
            "nvrtcGetProgramLog": (0,),
            "nvrtcGetCUBINSize": (0, 8),
            "nvrtcGetCUBIN": (0,),
            "nvrtcDestroyProgram": (0,),
        }.items():
            setattr(self, name, self._recording(name, results))

    def _recording(self, name: str, results: tuple[object, ...]) -> Any:
        def call(*arguments: Any) -> tuple[object, ...]:
            self.calls.append((name, arguments))
            return results

        call.__name__ = name
        return call

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bindings = ModuleType("cuda.bindings")
        bindings.nvrtc = self  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def test_a_compute_capability_has_a_name() -> None:
    assert architecture_of((8, 7)) == "sm_87"
    assert architecture_of((12, 1)) == "sm_121"


def test_nvcc_is_asked_for_a_cubin_with_the_sources_options(nvcc: Path) -> None:
    compiler = Nvcc(nvcc)
    assert compiler.version == "nvcc 12.6.68"
    assert compiler.cubin(STEP, "sm_87") == b"\x7fELFcode"
    asked = nvcc.with_suffix(".asked").read_text().splitlines()[-1].split()
    assert asked[:4] == ["--cubin", "--std=c++14", "--fmad=false", "-arch=sm_87"]
    assert asked[-1] == str(STEP.path)
    assert not Path(asked[-2]).exists()  # nothing is left behind


def test_nvcc_of_cuda_home_goes_before_that_on_the_path(
    nvcc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = written(tmp_path / "other" / "nvcc", FAKE_NVCC)
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    assert find_nvcc() == other
    monkeypatch.setenv("CUDA_HOME", str(nvcc.parent.parent))
    assert find_nvcc() == nvcc


def test_the_compilers_own_words_reach_the_person(nvcc: Path) -> None:
    with pytest.raises(
        KernelError, match="failed on step for sm_00: nvcc fatal : Unsupported gpu architecture 'sm_00'"
    ):
        Nvcc(nvcc).cubin(STEP, "sm_00")


def test_something_else_by_that_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="is it nvcc"):
        Nvcc(written(tmp_path / "nvcc", "#!/bin/sh\necho hello\n"))
    with pytest.raises(KernelError, match="cannot run"):
        Nvcc(written(tmp_path / "nvcc", "#!/no/such/interpreter\n"))


@pytest.mark.usefixtures("nothing")
def test_without_a_compiler_it_is_said_what_to_install() -> None:
    with pytest.raises(KernelError, match=r"no CUDA compiler: expected nvcc .* install the CUDA toolkit"):
        find_compiler()


@pytest.mark.usefixtures("nothing")
def test_nvrtc_takes_the_place_of_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvrtc().install(monkeypatch)
    assert find_compiler().version == "nvrtc 12.6"


def test_nvrtc_is_given_source_headers_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvrtc()
    fake.install(monkeypatch)
    assert len(Nvrtc().cubin(STEP, "sm_87")) == 8
    assert fake.names == [
        "nvrtcVersion",
        "nvrtcCreateProgram",
        "nvrtcCompileProgram",
        "nvrtcGetCUBINSize",
        "nvrtcGetCUBIN",
        "nvrtcDestroyProgram",
    ]
    text, name, count, texts, names = fake.calls[1][1]
    assert (text, name) == (STEP.path.read_bytes(), b"step.cu")
    assert count == len(headers())
    assert dict(zip(names, texts, strict=True))[b"step_math.h"] == headers()["step_math.h"].encode()
    assert fake.calls[2][1] == ("program", 3, [b"--std=c++14", b"--fmad=false", b"--gpu-architecture=sm_87"])


def test_a_program_that_fails_is_destroyed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvrtc(status=6)
    fake.install(monkeypatch)
    with pytest.raises(KernelError, match=r"nvrtc 12\.6 failed on step for sm_87: nvrtcCompileProgram: 6"):
        Nvrtc().cubin(STEP, "sm_87")
    assert fake.names[-3:] == ["nvrtcGetProgramLogSize", "nvrtcGetProgramLog", "nvrtcDestroyProgram"]


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvrtc()

    def no_library() -> None:
        raise RuntimeError("libnvrtc.so.12: cannot open shared object file")

    fake.nvrtcVersion = no_library  # type: ignore[attr-defined]
    fake.install(monkeypatch)
    with pytest.raises(KernelError, match=r"NVRTC's library cannot be loaded: libnvrtc\.so\.12"):
        Nvrtc()


class Broken(KernelSource):
    """A source with a fault."""

    @property
    def path(self) -> Path:
        return Path(self.name)


@pytest.mark.parametrize("kind", ["nvcc", "nvrtc"])
def test_the_real_compilers_make_code_and_name_faults(kind: str, tmp_path: Path) -> None:
    if kind == "nvcc" and (found := find_nvcc()):
        compiler: Any = Nvcc(found)
    elif kind == "nvrtc":
        try:
            compiler = Nvrtc()
        except KernelError as error:
            pytest.skip(str(error))
    else:
        pytest.skip("no nvcc on the PATH or in $CUDA_HOME/bin")
    assert compiler.cubin(STEP, "sm_87").startswith(b"\x7fELF")
    fault = tmp_path / "fault.cu"
    fault.write_text("__global__ void kernel() { nonsense(); }\n")
    with pytest.raises(KernelError, match=r'failed on .* for sm_87:[^$]*identifier "nonsense" is undefined'):
        compiler.cubin(Broken(str(fault), {}), "sm_87")


def test_importing_starts_no_compiler() -> None:
    script = "import sys, mdsgen.kernels.module; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(found.stdout.split())
    assert "mdsgen.kernels.module" in loaded
    assert not {"cuda", "pycuda"} & loaded
