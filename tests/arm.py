"""``python -m tests.arm``: the lean part on 64-bit Arm, emulated, by processor; ``make arm`` is that.

QEMU and an Arm Python are packages of Debian, unpacked into a folder and not installed; the wheels are the package
index's for Arm. It needs Debian on x86-64 with ``apt-get``, a network, and a minute of computing for each processor.
QEMU is Debian 13's: before 8.2 it shows programs the host's /proc/cpuinfo, which crashes the newer ONNX Runtimes.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from mdsgen.table import markdown
from tests.children import child

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1800.0
"""Seconds for one program."""

CPUS = {
    "cortex-a72": "Raspberry Pi 4; no dot products, no FP16",
    "cortex-a76": "Raspberry Pi 5; nearest to a Jetson Orin's Cortex-A78AE",
    "neoverse-v1": "a server's, with SVE",
}
PYTHON = [
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libstdc++6", "libgcc-s1", "zlib1g",
    "libffi8", "libssl3", "libexpat1", "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1", "libsqlite3-0",
]  # fmt: skip
TESTS = ["pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100"]
LEAST_DB = 60.0

CLIP = """
import json, platform, sys, time
import av, numpy, onnxruntime
from mdsgen import Pipeline, Sampling

started = time.perf_counter()
with Pipeline.open(None, "onnxruntime", threads=1) as pipeline:
    sound = pipeline(sys.argv[1], sampling=Sampling(steps=3), seed=0)
seconds = time.perf_counter() - started
numpy.save(sys.argv[2], sound.audio)
versions = {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__, "av": av.__version__}
print(json.dumps({"machine": platform.machine(), "seconds": seconds, **versions}))
"""


@dataclass(frozen=True)
class Arm:
    """A folder with QEMU, an Arm Python and its packages."""

    folder: Path

    def fetch(self, requirements: list[str]) -> None:
        """Lay it all in the folder; what is there stays, but the packages."""
        for suite, architecture, packages, place in (
            ("trixie", "amd64", ["qemu-user"], "qemu"),
            ("bookworm", "arm64", PYTHON, "root"),
        ):
            if not (self.folder / place).is_dir():
                Debian(self.folder / f"apt-{suite}", suite, architecture).unpack(packages, self.folder / place)
        site = self.folder / "site"
        shutil.rmtree(site, ignore_errors=True)
        platforms = [f"--platform=manylinux_2_{n}_aarch64" for n in (17, 24, 26, 27, 28, 31, 34)]
        wheels = [*platforms, "--python-version=3.11", "--implementation=cp", "--only-binary=:all:"]
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                f"--target={site}",
                *wheels,
                *requirements,
            ]
        )
        self.lay_package(site / "mdsgen")

    def lay_package(self, package: Path) -> None:
        """The four folders of the repository as the one that they are when installed."""
        package.mkdir()
        for part in [*(ROOT / "mdsgen").iterdir(), *(ROOT / name for name in ("export", "engines", "kernels"))]:
            (package / part.name).symlink_to(part)

    def python(self, cpu: str) -> Path:
        """A command that is Python on this processor, and that Python takes for itself when it starts others."""
        command = self.folder / cpu / "python"
        command.parent.mkdir(exist_ok=True)
        root, qemu = self.folder / "root", self.folder / "qemu" / "usr" / "bin" / "qemu-aarch64"
        command.write_text(
            f"#!/bin/sh\nexport PYTHONHOME={root}/usr PYTHONPATH={self.folder}/site:{ROOT} PYTHONSAFEPATH=1\n"
            f"export MDSGEN_CACHE={command.parent}\n"
            f'exec {qemu} -cpu {cpu} -0 {command} -L {root} {root}/usr/bin/python3.11 "$@"\n'
        )
        command.chmod(0o755)
        return command


@dataclass(frozen=True)
class Debian:
    """One release's packages of one architecture, with an ``apt`` that has its lists in a folder and not in /var."""

    folder: Path
    suite: str
    architecture: str

    def unpack(self, packages: list[str], place: Path) -> None:
        """Fetch packages, without what they depend on, and lay their files into a folder."""
        self._configure()
        options = ["-c", str(self.folder / "apt.conf")]
        _run(["apt-get", *options, "-qq", "update"])
        with tempfile.TemporaryDirectory(dir=self.folder) as debs:
            _run(["apt-get", *options, "-qq", "download", *packages], debs)
            unpacked = Path(debs, "unpacked")
            for deb in sorted(Path(debs).glob("*.deb")):
                _run(["dpkg", "-x", str(deb), str(unpacked)])
            unpacked.rename(place)

    def _configure(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "parts" / "debian.list").write_text(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror()} {self.suite} main\n"
        )
        here = self.folder
        (here / "apt.conf").write_text(
            f'Dir::State "{here}"; Dir::State::status "{here}/status"; Dir::State::Lists "{here}/lists";\n'
            f'Dir::Cache "{here}/cache"; Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "{here}/parts";\n'
            f'APT::Architecture "{self.architecture}"; APT::Architectures {{ "{self.architecture}"; }};\n'
            'APT::Sandbox::User ""; Acquire::Languages "none";\n'
        )


def mirror() -> str:
    """Where this machine gets its Debian from."""
    if shutil.which("apt-get") is None:
        raise click.ClickException("this takes packages of Debian with apt-get, which is not here")
    wanted = ["--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian", "Component: main"]
    known = _run(["apt-get", "indextargets", *wanted]).split()
    if not known:
        raise click.ClickException("apt-get knows no archive of Debian here")
    return known[0]


def _run(command: list[str], folder: Path | str | None = None) -> str:
    """What a program printed; where it fails, that is said, with the last line of what it said."""
    with child(command, cwd=folder, stdin=subprocess.DEVNULL) as process:
        stdout, stderr = process.communicate(timeout=LIMIT)
    if process.returncode:
        last = (stderr.strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise click.ClickException(f"{Path(command[0]).name} {command[1]}: {last}")
    return stdout


def clip(python: Path | str, video: Path, sound: Path) -> dict[str, object]:
    """Give the video its sound with this Python, and say with what and how fast."""
    said: dict[str, object] = json.loads(_run([str(python), "-c", CLIP, str(video), str(sound)], sound.parent))
    return said


def snr_db(sound: np.ndarray, reference: np.ndarray) -> float:
    """Of the sound against the reference."""
    wrong = np.sum((sound.astype(np.float64) - reference) ** 2)
    return float(10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / max(float(wrong), 1e-30)))


@click.command()
@click.option("--cpu", "cpus", multiple=True, default=tuple(CPUS), help="A processor that QEMU knows; repeat it.")
@click.option("--onnxruntime", default="onnxruntime", help="Which ONNX Runtime, such as onnxruntime==1.22.1.")
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / "build" / "arm", help="Where all is kept.")
@click.option("--tests", "chosen", multiple=True, help="Run these tests, too, on the first processor.")
def main(cpus: tuple[str, ...], onnxruntime: str, folder: Path, chosen: tuple[str, ...]) -> None:
    """Give the sample its sound on emulated Arm processors, and compare it with this machine's."""
    folder.mkdir(parents=True, exist_ok=True)
    arm = Arm(folder.resolve())
    lean = [needed for needed in importlib.metadata.requires("mdsgen") or [] if "extra ==" not in needed]
    arm.fetch([*lean, onnxruntime, *(TESTS if chosen else [])])
    video, here = ROOT / "assets" / "sample.mp4", arm.folder / "here.npy"
    first = clip(sys.executable, video, here)
    rows = [["processor", "ONNX Runtime", "NumPy", "PyAV", "seconds", "dB from here"]]
    rows += [[str(first["machine"]), *_versions(first), "–"]]
    poorest = np.inf
    for cpu in cpus:
        there = arm.folder / cpu / "sound.npy"
        said = clip(arm.python(cpu), video, there)
        decibels = snr_db(np.load(there), np.load(here))
        poorest = min(poorest, decibels)
        rows.append([f"{said['machine']}, {cpu}", *_versions(said), f"{decibels:.1f}"])
    click.echo(markdown(rows))
    if chosen:
        click.echo(_run([str(arm.python(cpus[0])), "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen], ROOT))
    if poorest < LEAST_DB:
        raise click.ClickException(f"expected {LEAST_DB:g} dB, got {poorest:.1f}")


def _versions(said: dict[str, object]) -> list[str]:
    return [*(str(said[name]) for name in ("onnxruntime", "numpy", "av")), f"{said['seconds']:.0f}"]


if __name__ == "__main__":
    main()
