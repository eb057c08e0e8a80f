"""``python -m tests.kills``: commands killed at random moments (``kill -9``), then run again.

After the kill, whatever stands under a final name is the old one or the new one, whole. After the next run of the same
command everything is as if there had been no kill, to the last byte, and nothing is left beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import click

from mdsgen.table import aligned
from tests.children import child, finished

ROOT = Path(__file__).resolve().parents[1]
BUNDLE, VIDEO = ROOT / "tests" / "fixtures" / "bundle", ROOT / "assets" / "sample.mp4"

Contents = dict[str, str]
"""Files of a folder by name, each with its SHA-256."""


def _nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """A command that is run in a folder, and what is there before.

    ``whole`` are the names, files or folders, that are exchanged as one. What comes out differently each time, such as
    a log with its times, is left out of the comparison: the names that end with one of ``varies``.
    """

    command: Sequence[str]
    whole: tuple[str, ...]
    prepare: Callable[[Path], None] = _nothing
    varies: tuple[str, ...] = field(default=())


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"mdsgen.cli.{module}", *arguments]


def _old_bundle(folder: Path) -> None:
    shutil.copytree(BUNDLE, folder / "b")


def _old_sound(folder: Path) -> None:
    (folder / "out.mp4").write_bytes(b"an older result")


def _clips(folder: Path) -> None:
    assert finished(PREPARE.command, cwd=folder, env=_environment()).returncode == 0


_RUN = ("--bundle", str(BUNDLE), "--engine", "onnxruntime", "--threads", "1", "--steps", "2", "--duration", "2")
_CONVERT = ("--bundle", str(BUNDLE), "--precision", "fp16-weights", "--engine", "onnxruntime", "--output", "b")
PREPARE = Scenario(_python("train", "prepare", "--recipe", "toy", "--work", "w", "--threads", "1", "--quiet"), ())

SCENARIOS = {
    "run": Scenario(_python("run", str(VIDEO), *_RUN, "-o", "out.mp4"), ("out.mp4",), _old_sound),
    "export": Scenario(_python("export", *_CONVERT), ("b",)),
    "replace": Scenario(_python("export", *_CONVERT, "--replace"), ("b",), _old_bundle),
    "prepare": PREPARE,
    "train": Scenario(
        _python("train", "video-encoder", "--recipe", "toy", "--work", "w", "--threads", "1", "--quiet"),
        (),
        _clips,
        varies=(".csv", ".log", "checkpoint.pt"),
    ),
}


@dataclass(frozen=True)
class Reference:
    """What a scenario comes to without a kill: the folder before and after, and the seconds it takes."""

    before: Path
    old: Contents
    new: Contents
    seconds: float


def reference(scenario: Scenario, folder: Path) -> Reference:
    """Run it once, undisturbed."""
    before, after = folder / "before", folder / "after"
    before.mkdir()
    scenario.prepare(before)
    shutil.copytree(before, after)
    begun = time.monotonic()
    result = finished(scenario.command, cwd=after, env=_environment())
    if result.returncode:
        raise RuntimeError(f"{' '.join(scenario.command)}: {result.stderr}")
    return Reference(before, _contents(before), _contents(after), time.monotonic() - begun)


def kill_once(scenario: Scenario, known: Reference, folder: Path, delay: float) -> list[str]:
    """Kill it after ``delay`` seconds, look, run it again, look: everything that is not as it should be."""
    shutil.copytree(known.before, folder)
    with child(scenario.command, cwd=folder, env=_environment()):  # killed, with its group, at the end of the block
        time.sleep(delay)
    faults = [f"{name} is half there" for name in scenario.whole if not _is_whole(name, _contents(folder), known)]
    result = finished(scenario.command, cwd=folder, env=_environment())
    found = _contents(folder)
    if result.returncode and not ("exists" in result.stderr and found == known.new):  # it was done when it was killed
        faults.append(f"the next run fails: {result.stderr.strip()}")
    faults += [f"{name} is left" for name in sorted(found.keys() - known.new.keys())]
    faults += [f"{name} is lost" for name in sorted(known.new.keys() - found.keys())]
    both = found.keys() & known.new.keys()
    faults += [
        f"{name} differs" for name in sorted(both) if found[name] != known.new[name] and not _varies(name, scenario)
    ]
    return faults


def _varies(name: str, scenario: Scenario) -> bool:
    return name.endswith(scenario.varies) if scenario.varies else False


def _is_whole(name: str, found: Contents, known: Reference) -> bool:
    return _part(found, name) in (_part(known.old, name), _part(known.new, name))


def _part(contents: Contents, name: str) -> Contents:
    return {path: digest for path, digest in contents.items() if path == name or path.startswith(f"{name}/")}


def _contents(folder: Path) -> Contents:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def kills(name: str, count: int, seconds: float, random: Random) -> tuple[int, list[str]]:
    """So many kills of a scenario, or as many as there is time for; how many there were, and the faults."""
    scenario, faults, done = SCENARIOS[name], list[str](), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        known = reference(scenario, Path(place))
        end = time.monotonic() + seconds
        while done < count and time.monotonic() < end:
            folder, delay = Path(place) / "killed", random.uniform(0, known.seconds)
            faults += [
                f"{name} killed after {delay:.3f} s: {fault}" for fault in kill_once(scenario, known, folder, delay)
            ]
            shutil.rmtree(folder)
            done += 1
    return done, faults


@click.command("kills")
@click.option("--count", type=click.IntRange(1), default=80, show_default=True, help="Kills of each command.")
@click.option("--seconds", type=click.FloatRange(0), default=float("inf"), help="Stop a command's kills after so long.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--only", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="[default: all]")
def main(count: int, seconds: float, seed: int, names: tuple[str, ...]) -> None:
    """Kill commands at random moments and run them again."""
    rows, bad = [], False
    for name in names or SCENARIOS:
        done, faults = kills(name, count, seconds, Random(f"{name}/{seed}"))
        for fault in faults:
            click.echo(fault, err=True)
        rows.append([name, str(done), str(len(faults))])
        bad = bad or bool(faults)
    click.echo(aligned([("command", "kills", "faults"), *rows], figures=True))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
