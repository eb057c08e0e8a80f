"""What the command costs as a person meets it: in a process of its own, from its start to the finished file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from mdsgen.bench import launcher
from mdsgen.bundle import Bundle
from mdsgen.errors import MdsgenError
from mdsgen.geometry import Geometry
from mdsgen.report import Report, counted, silent
from mdsgen.timing import Measurement

READY, FINISHED = "process start to ready", "process start to finished mp4"
"""The two figures: until the pipeline is open, and until the whole command has ended."""

_OPEN = """
import sys, time
from mdsgen import Pipeline
bundle, engine, threads, bfloat16 = sys.argv[1:]
with Pipeline.open(bundle, engine, threads=int(threads) or None, bfloat16=bool(bfloat16)):
    print(time.monotonic())
"""
_RUN = "from mdsgen.start import run; run()"
_SCENE = 204  # the seed of the sample clip: two balls of different materials
_SHORTEST = 4.0  # seconds: a scene is not drawn in less


@dataclass(frozen=True)
class Finished:
    """A command that has ended well: on the system's monotonic clock, its peak memory in bytes, and what it printed."""

    start: float
    end: float
    peak: int
    output: str


@dataclass(frozen=True)
class Command:
    """How the bundle is opened and sampled, as the arguments of ``mdsgen-run``."""

    bundle: Bundle
    engine: str = "auto"
    threads: int | None = None
    bfloat16: bool = False
    sampling: tuple[str, ...] = ()

    def opening(self) -> list[str]:
        """A program that opens the pipeline and says when that was done."""
        return [sys.executable, "-c", _OPEN, str(self.bundle.folder), *self._engine()]

    def running(self, video: Path, target: Path) -> list[str]:
        """The command, for one window of the video."""
        options = ["--bundle", str(self.bundle.folder), "--engine", self.engine, "--output", str(target)]
        options += ["--duration", str(self.bundle.manifest.geometry.duration)]
        options += ["--threads", str(self.threads)] if self.threads else []
        options += ["--bfloat16"] if self.bfloat16 else []
        return [sys.executable, "-c", _RUN, str(video), *options, *self.sampling]

    def _engine(self) -> list[str]:
        return [self.engine, str(self.threads or 0), "1" if self.bfloat16 else ""]


def sampling_arguments(named: Mapping[str, Any]) -> tuple[str, ...]:
    """What a command was told of sampling, as arguments for another: ``{"steps": 4}`` is ``--steps 4``."""
    arguments: list[str] = []
    for name, value in named.items():
        if value is not None:
            values = value if isinstance(value, (tuple, list)) else (value,)
            arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    return tuple(arguments)


def time_processes(
    command: Command, repeat: int, progress: Report = silent
) -> tuple[dict[str, Measurement], dict[str, int]]:
    """Seconds of :data:`READY` and :data:`FINISHED` over ``repeat`` turns, and the median peak memory of each in bytes.

    The video is a rendered scene as long as the bundle's window.
    """
    seconds: dict[str, list[float]] = {READY: [], FINISHED: []}
    peaks: dict[str, list[int]] = {READY: [], FINISHED: []}
    with TemporaryDirectory(prefix="mdsgen-") as folder:
        video, target = Path(folder) / "scene.mp4", Path(folder) / "sound.mp4"
        _render(video, command.bundle.manifest.geometry)
        for _ in counted(range(repeat), repeat, "running the command, turn", progress):
            opened = launch(command.opening())
            finished = launch(command.running(video, target))
            seconds[READY].append(float(opened.output.split()[-1]) - opened.start)
            seconds[FINISHED].append(finished.end - finished.start)
            peaks[READY].append(opened.peak)
            peaks[FINISHED].append(finished.peak)
    measured = {name: Measurement(tuple(taken)) for name, taken in seconds.items()}
    return measured, {name: round(median(found)) for name, found in peaks.items()}


def launch(command: Sequence[str]) -> Finished:
    """Run a command to its end. Raises :class:`~mdsgen.errors.MdsgenError` with its last line where it fails."""
    with TemporaryDirectory(prefix="mdsgen-") as folder:
        output = Path(folder) / "output"
        program = [sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(output), *command]
        said = subprocess.run(program, stdout=subprocess.PIPE, check=True, text=True).stdout
        printed = output.read_text(encoding="utf-8", errors="replace")
    found = json.loads(said)
    if found["status"] != 0:
        last = (printed.strip().splitlines() or ["nothing"])[-1]
        raise MdsgenError(f"the measured command failed with code {found['status']}, its last line: {last}")
    return Finished(found["start"], found["end"], found["peak"], printed)


def _render(video: Path, geometry: Geometry) -> None:
    from mdsgen.scenes import sample_scene, write_video

    scene = sample_scene(_SCENE, "bounce", max(_SHORTEST, geometry.duration))
    write_video(scene, video, silent=True)
