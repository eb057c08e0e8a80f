"""docs/python.md is what the docstrings say, and the examples run."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import pytest

from mdsgen.media import probe
from tests.media.conftest import Renderer

ROOT = Path(__file__).parent.parent


def test_the_page_of_the_interface_is_what_its_docstrings_say() -> None:
    written = (ROOT / "docs" / "python.md").read_text("utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "interface.py"))["page"]() == written, "run python docs/interface.py"


def example(name: str, *arguments: object, bundle: Path) -> str:
    done = run_example(name, *arguments, bundle=bundle)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_example(name: str, *arguments: object, bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {"MDSGEN_BUNDLE": str(bundle), "OMP_NUM_THREADS": "1", "MDSGEN_CACHE": os.environ["MDSGEN_CACHE"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("name", ["file.py", "live.py", "own_bundle.py"])
def test_an_example_without_its_arguments_says_what_it_needs(name: str, tmp_path: Path) -> None:
    done = run_example(name, bundle=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {name}")


@pytest.mark.parametrize("name", ["file.py", "live.py", "own_bundle.py"])
def test_what_goes_wrong_in_an_example_is_one_line(name: str, tmp_path: Path) -> None:
    arguments = [tmp_path / "absent.mp4", tmp_path / "out.mp4"][: 1 if name == "own_bundle.py" else 2]
    done = run_example(name, *arguments, bundle=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_example_of_a_file(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    said = example("file.py", film(frames=8, rate=4), tmp_path / "out.mp4", bundle=bundle_path)
    assert said.startswith(f"{tmp_path / 'out.mp4'}: 2.00 s of sound in ")
    assert probe(tmp_path / "out.mp4").has_audio


def test_the_example_of_frames(bundle_path: Path) -> None:
    lines = example("frames.py", bundle=bundle_path).splitlines()
    assert "100%" in lines
    assert sum(int(line.split()[0]) for line in lines if "samples" in line) == 2 * 16_000


def test_the_example_of_a_live_source(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    example("live.py", film(frames=15, rate=15), tmp_path / "out.wav", bundle=bundle_path)
    with av.open(str(tmp_path / "out.wav")) as container:
        assert container.duration / 1e6 == pytest.approx(1.0, abs=0.1)


@pytest.mark.skipif(not find_spec("onnx"), reason="converting needs ONNX")
def test_the_example_of_a_bundle_of_one_s_own(bundle_path: Path, tmp_path: Path) -> None:
    lines = example("own_bundle.py", tmp_path / "b", bundle=bundle_path).splitlines()
    assert lines[-1] == f"1.00 s at 16000 Hz by {tmp_path / 'b'}, which is in fp32"
