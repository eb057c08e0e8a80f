"""The installed commands, from their first line on."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mdsgen import start
from tests.children import LIMIT, child, finished

COMMANDS = ("bench", "eval", "export", "info", "run", "serve", "train")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_that_of_its_module(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(import_module(f"mdsgen.cli.{command}"), "main", lambda: called.append(command))
    getattr(start, command)()
    assert called == [command]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SLOW = """
import sys, time
def wait():
    print("importing", flush=True)
    time.sleep(60)
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            try:
                wait()
            except BaseException as error:
                raise ImportError("cannot be imported") from error
sys.meta_path.insert(0, Slow())
from mdsgen.start import run
run()
"""
"""A library that turns an interruption into something else, as libraries in C do."""


def test_ctrl_c_while_libraries_are_imported_is_one_line() -> None:
    with child([sys.executable, "-c", SLOW]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=LIMIT)
    assert (process.returncode, complaint) == (130, "interrupted\n")


def loaded_by(script: str) -> set[str]:
    """The libraries that a program has imported at its end."""
    at_end = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); "
    return {name.split(".")[0] for name in finished([sys.executable, "-c", at_end + script]).stdout.split()}


def test_help_needs_neither_an_engine_nor_pyav() -> None:
    loaded = loaded_by("sys.argv = ['mdsgen-run', '--help']; from mdsgen.start import run; run()")
    assert "click" in loaded
    assert not loaded & {"av", "onnxruntime", "openvino"}


def test_a_pipeline_is_opened_without_pyav(bundle_path: Path) -> None:
    loaded = loaded_by(f"from mdsgen import Pipeline; Pipeline.open({str(bundle_path)!r}, 'onnxruntime').close()")
    assert "onnxruntime" in loaded
    assert not loaded & {"av", "click", "openvino"}


def test_a_command_that_multiplies_no_matrices_starts_no_threads_for_them() -> None:
    script = (
        "import atexit, os, sys; os.environ.pop('OPENBLAS_NUM_THREADS', None); sys.argv = ['-', '--version']; "
        "atexit.register(lambda: print(os.environ.get('OPENBLAS_NUM_THREADS'))); import mdsgen.start; mdsgen.start."
    )
    told = [finished([sys.executable, "-c", f"{script}{name}()"]).stdout.split()[-1] for name in ("run", "eval")]
    assert told == ["1", "None"]


def test_the_first_line_imports_no_library() -> None:
    script = "import sys; before = set(sys.modules); import mdsgen.start; print(*set(sys.modules) - before)"
    loaded = {name.split(".")[0] for name in finished([sys.executable, "-c", script]).stdout.split()}
    assert not loaded & {"numpy", "av", "click", "onnxruntime"}
