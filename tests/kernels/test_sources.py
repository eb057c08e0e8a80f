"""Every kernel compiles for every GPU that the toolkit at hand knows, without a warning."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mdsgen.kernels.compiler import OPTIONS, find_nvcc
from mdsgen.kernels.sources import FOLDER, SOURCES, headers

ARCHITECTURES = ["sm_72", "sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_110", "sm_120"]


@pytest.fixture(scope="module")
def nvcc() -> Path:
    found = find_nvcc()
    if found is None:
        pytest.skip("no nvcc on the PATH or in $CUDA_HOME/bin")
    return found


def known(nvcc: Path) -> list[str]:
    listed = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True)
    return [architecture for architecture in ARCHITECTURES if architecture in listed.stdout.split()]


def compile_quietly(nvcc: Path, name: str, target: Path, *options: str) -> None:
    """Compile without a word from any stage of the compiler."""
    source = SOURCES[name]
    command = [
        nvcc,
        "--fatbin",
        "-Werror",
        "all-warnings",
        *OPTIONS,
        *source.options,
        *options,
        "-o",
        target,
        source.path,
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert not made.stdout + made.stderr


@pytest.mark.parametrize("name", SOURCES)
def test_compiles_for_every_architecture_without_warnings(nvcc: Path, name: str, tmp_path: Path) -> None:
    architectures = known(nvcc)
    assert len(architectures) > 3
    targets = [f"-gencode=arch={a.replace('sm', 'compute')},code={a}" for a in architectures]
    compile_quietly(nvcc, name, tmp_path / "all.fatbin", *targets)
    assert (tmp_path / "all.fatbin").stat().st_size > 5_000


@pytest.mark.parametrize("name", SOURCES)
def test_a_table_of_parameters_is_that_of_the_declarations(name: str) -> None:
    letters = {"int": "i", "long long": "q", "float": "f"}
    declared = {}
    for function, parameters in re.findall(r"__global__ void .*?(\w+)\(([^)]*)\)\s*\{", SOURCES[name].path.read_text()):
        types = [parameter.rsplit(maxsplit=1)[0].strip() for parameter in parameters.split(",")]
        declared[function] = "".join("P" if kind.endswith("*") else letters[kind] for kind in types)
    assert declared == dict(SOURCES[name].functions)


def test_nothing_of_cuda_or_the_system_is_included_on_the_device() -> None:
    """NVRTC has neither; what the host includes stands in host_device.h, behind a condition."""
    ours = headers()
    for name, text in {**ours, **{s.path.name: s.path.read_text() for s in SOURCES.values()}}.items():
        system = re.findall(r"#include <(.*)>", text)
        assert system == (["math.h"] if name == "host_device.h" else [])
        assert set(re.findall(r'#include "(.*)"', text)) <= ours.keys()


def test_sources_and_headers_are_all_there_is() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*headers(), *(source.path.name for source in SOURCES.values())}
