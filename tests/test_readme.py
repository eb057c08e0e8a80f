"""The README says nothing that is not so: its files exist, its commands know their options, its Python runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import click
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
    """Every call of a command in the README and the pages, without what the shell makes of the rest of the line."""
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"```(?:sh)?\n(.*?)```", document.read_text("utf-8"), flags=re.DOTALL)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    calls = [re.search(r"(?:^\s*|^[A-Z_]+=\S.*? )(mdsgen-[a-z]+( .*)?)$", line) for line in lines]
    words = [shlex.split(call[1], comments=True) for call in calls if call]
    return [call for call in dict.fromkeys(map(tuple, words)) if not set(call) & {"|", ">", "&&"}]


@pytest.mark.parametrize("call", quoted_calls(), ids=" ".join)
def test_every_quoted_call_is_understood(call: list[str]) -> None:
    """Its options are there, and take the values that they are given."""
    command, *words = call
    main = importlib.import_module(f"mdsgen.cli.{command.removeprefix('mdsgen-')}").main
    if isinstance(main, click.Group):
        command, *words = words
        main = main.commands[command]
    assert main.make_context(command, words).args == []


def test_every_quoted_target_and_module_exists() -> None:
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    targets = set(re.findall(r"```\nmake ([a-z]+)|`make ([a-z]+)", text))
    made = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert {one or other for one, other in targets} <= set(made)
    modules = set(re.findall(r"python -m ((?:mdsgen|tests)[\w.]*)", text))
    assert "mdsgen.scenes" in modules
    assert all(importlib.util.find_spec(module) for module in modules)


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
