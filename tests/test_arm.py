"""The check on emulated Arm, as far as it goes without an emulator."""

from __future__ import annotations

import os
from pathlib import Path

import click
import numpy as np
import pytest

from tests.arm import Arm, mirror, snr_db
from tests.children import finished


def test_the_command_is_python_on_that_processor(tmp_path: Path) -> None:
    emulator = tmp_path / "qemu" / "usr" / "bin" / "qemu-aarch64"
    emulator.parent.mkdir(parents=True)
    emulator.write_text('#!/bin/sh\necho "$@"\necho "$PYTHONPATH"\n')
    emulator.chmod(0o755)
    command = Arm(tmp_path).python("cortex-a72")
    words, paths = finished([str(command), "-c", "print(1 + 1)"]).stdout.splitlines()
    root = tmp_path / "root"
    assert words == f"-cpu cortex-a72 -0 {command} -L {root} {root}/usr/bin/python3.11 -c print(1 + 1)"
    assert paths.split(":")[0] == str(tmp_path / "site")


def test_the_package_is_laid_as_it_is_installed(tmp_path: Path) -> None:
    Arm(tmp_path).lay_package(tmp_path / "mdsgen")
    for module in (
        "runtime/pipeline.py",
        "engines/onnxruntime.py",
        "kernels/step.py",
        "demo/manifest.json",
        "geometry.py",
    ):
        assert (tmp_path / "mdsgen" / module).is_file()


def test_decibels() -> None:
    reference = np.full(100, 0.5, np.float32)
    assert snr_db(reference * np.float32(1.001), reference) == pytest.approx(60, abs=0.01)
    assert snr_db(reference, reference) > 200


def test_without_apt_get_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(click.ClickException, match="apt-get"):
        mirror()
