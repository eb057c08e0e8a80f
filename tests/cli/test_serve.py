"""``mdsgen-serve``: its options become the server's settings, and one line says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mdsgen.cli.serve import main
from mdsgen.server import Limits, ServerSettings
from tests.runner import Runner


def run(*words: object) -> Result:
    return Runner(env={"MDSGEN_TOKEN": None}).invoke(main, [str(word) for word in words])


def served(monkeypatch: pytest.MonkeyPatch, *words: object) -> ServerSettings:
    """The settings that a server would be started with."""
    found: list[Any] = []

    def serve(pipeline: Any, settings: ServerSettings, announce: Any) -> None:
        pipeline.close()
        found.append(settings)

    monkeypatch.setattr("mdsgen.server.serve", serve)
    result = run("--engine", "onnxruntime", *words)
    assert result.exit_code == 0, result.output
    return found[0]  # type: ignore[no-any-return]


def test_by_itself_it_serves_this_machine(monkeypatch: pytest.MonkeyPatch, bundle_path: Path) -> None:
    settings = served(monkeypatch, "--bundle", bundle_path)
    assert settings == ServerSettings("127.0.0.1", 8080, None, Limits(512 * 2**20, 600.0, 100, 8))


def test_every_option_is_heeded(monkeypatch: pytest.MonkeyPatch, bundle_path: Path) -> None:
    words = "--host 0.0.0.0 --port 9 --token correct-horse --max-size 2 --max-seconds 30 --max-steps 4 --queue 1"
    settings = served(monkeypatch, "--bundle", bundle_path, *words.split())
    assert settings == ServerSettings("0.0.0.0", 9, "correct-horse", Limits(2 * 2**20, 30.0, 4, 1))


def test_without_its_libraries_it_says_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("mdsgen.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run()
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the server's libraries are missing (")
    assert result.stderr.endswith("): pip install 'mdsgen[serve]'\n")
