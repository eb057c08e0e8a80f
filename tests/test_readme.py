"""The README says nothing that is not so: its files exist, its commands know their options, its Python runs."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from tests.runner import Runner

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = sorted(set(re.findall(r"\bmdsgen-[a-z]+\b", README)) - {"mdsgen-bundle"})


def options_of(command: str) -> str:
    module = importlib.import_module(f"mdsgen.cli.{command.removeprefix('mdsgen-')}")
    result = Runner().invoke(module.main, ["--help"])
    assert result.exit_code == 0, result.output
    return result.output


def test_it_names_commands() -> None:
    assert {"mdsgen-export", "mdsgen-run", "mdsgen-info"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert "Usage:" in options_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_installed(command: str) -> None:
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'{command} = "mdsgen.start:{command.removeprefix("mdsgen-")}"' in scripts


def quoted_calls() -> list[list[str]]:
    blocks = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("mdsgen-")]


@pytest.mark.parametrize("call", quoted_calls(), ids=" ".join)
def test_every_quoted_option_exists(call: list[str]) -> None:
    known = options_of(call[0])
    for word in call[1:]:
        if word.startswith("-"):
            assert re.search(rf"(^|[\s,]){re.escape(word)}\b", known), f"{call[0]} has no {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), link


def test_every_named_folder_exists() -> None:
    for folder in re.findall(r"^\| `([a-z/]+)`", README, flags=re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_its_python_runs(bundle_path: Path, film: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    film("video.mp4", frames=8, rate=4)  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").symlink_to(bundle_path)
    (tmp_path / "video.mp4").symlink_to(tmp_path / "films" / "video.mp4")
    names: dict[str, object] = {}
    exec(code, names)
    sound = names["sound"]
    assert len(sound.audio) == 2 * sound.sample_rate  # type: ignore[attr-defined]
