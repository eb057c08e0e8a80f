"""Where caches lie: as the environment says, and somewhere even where there is no home."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from mdsgen.cache import cache_folder


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MDSGEN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("kernels") == tmp_path / ".cache" / "mdsgen" / "kernels"


def test_where_the_desktop_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder("kernels") == tmp_path / "caches" / "mdsgen" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder("kernels") == tmp_path / "home" / ".cache" / "mdsgen" / "kernels"


def test_where_mdsgen_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "own"))
    assert cache_folder("engines") == tmp_path / "own" / "engines"


def test_a_user_without_a_home_has_a_private_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / f"mdsgen-{os.getuid()}"
    assert cache_folder("engines") == cache_folder("engines") == own / "mdsgen" / "engines"
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)  # as somebody else may have left it there
    assert not cache_folder("engines").is_relative_to(own)
