"""``python -m mdsgen`` lists the commands; each says its version, its help, and completes its options in a shell."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from mdsgen import __version__
from mdsgen.__main__ import COMMANDS, main
from mdsgen.bundle import Bundle, default_bundle

ROOT = Path(__file__).parent.parent


def test_every_installed_command_is_listed_with_what_it_does() -> None:
    installed = re.findall(r'^mdsgen-(\w+) = "mdsgen\.start:\w+"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert sorted(COMMANDS) == sorted(installed)
    page = CliRunner().invoke(main, ["-h"]).output
    for name in COMMANDS:
        assert re.search(rf"^  {name}  +[A-Z].*\.$", page, re.M), name
    assert "..." not in page.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_version_and_its_help(name: str) -> None:
    version = CliRunner().invoke(main, [name, "--version"])
    assert (version.exit_code, version.output) == (0, f"mdsgen {__version__}\n")
    short, long = (CliRunner().invoke(main, [name, option]) for option in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)


def test_an_unknown_command_is_wrong_use() -> None:
    assert CliRunner().invoke(main, ["rum"]).exit_code == 2


@pytest.mark.parametrize("name", ["run", "eval", "bench"])
def test_an_engine_is_chosen_from_a_list(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--engine", "steam"])
    assert result.exit_code == 2
    assert "'onnxruntime'" in result.output


def test_a_shell_completes_options_and_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    command = main.get_command(click.Context(main), "run")
    assert command is not None
    for words, expected in (("mdsgen-run --eng", "--engine"), ("mdsgen-run --engine op", "openvino")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert expected in BashComplete(command, {}, "mdsgen-run", "_MDSGEN_RUN_COMPLETE").complete()


def test_help_says_what_the_bundle_s_values_are(bundle_path: Path) -> None:
    page = " ".join(CliRunner(env={"MDSGEN_BUNDLE": ""}).invoke(main, ["run", "-h"]).output.split())
    sampling = Bundle.open(default_bundle(), verify=False).sampling
    assert f"[default: the bundle's, {sampling.steps} in the demo model]" in page
    other = " ".join(CliRunner(env={"MDSGEN_BUNDLE": str(bundle_path)}).invoke(main, ["run", "-h"]).output.split())
    steps = Bundle.open(bundle_path, verify=False).sampling.steps
    assert f"[default: the bundle's, {steps} in $MDSGEN_BUNDLE]" in other
