"""Every command fails in one line, and tells a fault of use, of work and an interruption apart."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from click.testing import Result

from mdsgen.command import command, wrong_use
from mdsgen.errors import BundleError, MediaError, SettingsError
from tests.children import LIMIT, child
from tests.runner import Runner


def run(error: BaseException | None, *arguments: str) -> Result:
    @command()
    def main() -> None:
        """Do it."""
        if error is not None:
            raise error
        click.echo("done")

    return Runner().invoke(main, arguments)


def test_a_command_that_works_exits_with_zero() -> None:
    result = run(None)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")


def test_an_error_of_the_project_is_one_line_on_stderr() -> None:
    result = run(BundleError("vocoder.onnx is damaged:\nexpected this"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: vocoder.onnx is damaged: expected this\n"


def test_any_other_error_is_one_line_that_names_its_kind() -> None:
    result = run(PermissionError("no"))
    assert (result.exit_code, result.stderr) == (1, "error: PermissionError: no (--debug shows where)\n")


@pytest.mark.parametrize("error", [BundleError("no"), PermissionError("no"), SettingsError("no")])
def test_debug_lets_the_error_through_with_its_traceback(error: Exception) -> None:
    result = run(error, "--debug")
    assert result.exception is error
    assert result.exit_code == 1


def test_an_interruption_exits_with_130() -> None:
    result = run(KeyboardInterrupt())
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["surplus"]])
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    assert run(None, *arguments).exit_code == 2


@pytest.mark.parametrize("kind", [click.UsageError, SettingsError])
def test_a_usage_error_and_an_impossible_setting_exit_with_2(kind: type[Exception]) -> None:
    result = run(kind("--steps and --plan exclude each other"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: main ")
    assert result.stderr.splitlines()[-1] == "Error: --steps and --plan exclude each other"


def test_a_fault_of_a_kind_is_wrong_use_where_it_is_said_to_be() -> None:
    with pytest.raises(click.UsageError, match="a name that ends in"), wrong_use(MediaError):
        raise MediaError("a name that\nends in .wav")
    with pytest.raises(BundleError), wrong_use(MediaError):
        raise BundleError("damaged")


def test_an_exit_code_chosen_by_the_command_stays() -> None:
    assert run(click.exceptions.Exit(3)).exit_code == 3


def test_a_reader_that_closed_the_pipe_is_no_message() -> None:
    result = run(BrokenPipeError(32, "Broken pipe"))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


def test_help_names_debug() -> None:
    result = run(None, "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout


# SIGTERM

AT_WORK = """
import time
from mdsgen.bundle import create_bundle
from mdsgen.command import command

@command()
def main():
    with create_bundle(TARGET) as folder:
        (folder / "half").write_text("x")
        print("at work", flush=True)
        time.sleep(60)

main()
"""


def test_a_terminated_command_cleans_up_and_exits_with_143(tmp_path: Path) -> None:
    script = AT_WORK.replace("TARGET", repr(str(tmp_path / "b")))
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        assert [path.name.startswith(".mdsgen-") for path in tmp_path.iterdir()] == [True]
        process.terminate()
        _, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (143, "")
    assert not list(tmp_path.iterdir())


STUCK = """
import ctypes
from pathlib import Path
from mdsgen.command import command
from mdsgen.files import whole_file, whole_folder

@command()
def main():
    with whole_folder(TARGET) as folder, whole_file(Path(TARGET + ".mp4")):
        (folder / "half").write_text("x")
        mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
        lock(mutex)
        print("at work", flush=True)
        lock(mutex)

main()
"""
"""It waits for itself in C, where no handler of Python's is run."""


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_a_command_that_never_comes_back_is_ended_and_leaves_nothing(
    tmp_path: Path, number: int, code: int, words: str
) -> None:
    (tmp_path / "b").mkdir()
    with child([sys.executable, "-c", STUCK.replace("TARGET", repr(str(tmp_path / "b")))]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.3)  # until it is in there
        begun = time.monotonic()
        process.send_signal(number)
        _, complaint = process.communicate(timeout=LIMIT)
        assert 1.9 < time.monotonic() - begun < 4
    assert (process.returncode, complaint) == (code, words)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_afterwards_sigterm_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    @command()
    def main() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        raise BundleError("no")

    assert Runner().invoke(main).exit_code == 1
    assert seen != [before]
    assert signal.getsignal(signal.SIGTERM) == before


def test_in_another_thread_a_command_runs_all_the_same() -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(run(None)))
    thread.start()
    thread.join()
    assert [result.stdout for result in results] == ["done\n"]
