"""Machine code is made once: found again by all that it was made of, whole or not at all."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels import cache
from mdsgen.kernels.cache import cubin_key, cubin_of
from mdsgen.kernels.sources import SOURCES, KernelSource

STEP = SOURCES["step"]


class Counting:
    """A compiler that counts."""

    def __init__(self, version: str = "nvcc 12.6.68", made: bytes = b"\x7fELF code") -> None:
        self.version, self._made, self.asked = version, made, 0

    def cubin(self, source: KernelSource, architecture: str) -> bytes:
        self.asked += 1
        return self._made


def test_the_second_time_nothing_is_compiled(tmp_path: Path) -> None:
    compiler = Counting()
    assert cubin_of(STEP, "sm_87", compiler, tmp_path) == cubin_of(STEP, "sm_87", compiler, tmp_path) == b"\x7fELF code"
    assert compiler.asked == 1


def test_whatever_changes_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = cubin_key(STEP, "sm_87", "nvcc 12.6.68")
    assert key == cubin_key(STEP, "sm_87", "nvcc 12.6.68")
    others = [
        cubin_key(SOURCES["frames"], "sm_87", "nvcc 12.6.68"),
        cubin_key(replace(STEP, options=()), "sm_87", "nvcc 12.6.68"),
        cubin_key(STEP, "sm_90", "nvcc 12.6.68"),
        cubin_key(STEP, "sm_87", "nvcc 12.6.77"),
        cubin_key(STEP, "sm_87", "nvrtc 12.6"),
    ]
    text = cache.headers()
    monkeypatch.setattr(cache, "headers", lambda: {**text, "step_math.h": text["step_math.h"] + " "})
    others.append(cubin_key(STEP, "sm_87", "nvcc 12.6.68"))
    monkeypatch.setattr(cache, "OPTIONS", ("--std=c++17",))
    others.append(cubin_key(STEP, "sm_87", "nvcc 12.6.68"))
    assert len({key, *others}) == 8


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    compiler = Counting()
    cubin_of(STEP, "sm_87", compiler, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"")
    assert cubin_of(STEP, "sm_87", compiler, tmp_path) == kept.read_bytes() == b"\x7fELF code"
    assert compiler.asked == 2


def test_what_is_no_machine_code_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"nvcc 12\.6\.68 made no machine code of step for sm_87"):
        cubin_of(STEP, "sm_87", Counting(made=b".version 8.0"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cubin_of(STEP, "sm_87", Counting(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named_and_gone_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert cubin_of(STEP, "sm_87", Counting(), tmp_path / "file" / "kernels") == b"\x7fELF code"
    assert "file (Not a directory): set MDSGEN_CACHE" in caplog.text.replace("/kernels", "")


def test_the_folder_is_that_of_the_machine_s_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "elsewhere"))
    cubin_of(STEP, "sm_87", Counting())
    assert len(list((tmp_path / "elsewhere" / "kernels").iterdir())) == 1
