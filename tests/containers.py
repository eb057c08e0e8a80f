"""``python -m tests.containers``: what the container files do, done without a container; ``make containers`` is that.

For each file, every step that makes or fills the environment runs as it stands, in a folder in the place of /opt/mdsgen
and with the Python and pip of the image. Then the entry point is started, the image's own health check asks it, and a
signal ends it. The Arm images' wheels are looked up, and not installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from tests.children import child

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "containers"
ENVIRONMENT, SOURCE = "/opt/mdsgen", "/source"
LIMIT = 900.0
"""Seconds for one step."""


@dataclass(frozen=True)
class Image:
    """A container file, and what its base image brings: the version of Python, and pip's where it is an old one."""

    name: str
    python: str
    pip: str | None = None

    @property
    def instructions(self) -> list[tuple[str, str]]:
        """``("RUN", "python -m …")`` and so on, lines that go on joined, without comments."""
        text = re.sub(r"^\s*#.*\n", "", (FOLDER / self.name).read_text("utf-8"), flags=re.MULTILINE)
        lines = text.replace("\\\n", " ").splitlines()
        pairs = [line.split(None, 1) for line in lines if line.strip()]
        return [(word, " ".join(rest.split())) for word, rest in pairs]

    def all_of(self, word: str) -> list[str]:
        """What stands behind every instruction of a kind."""
        return [rest for found, rest in self.instructions if found == word]

    def last(self, word: str) -> list[str]:
        """The words of the last instruction of a kind, which is a JSON list."""
        rest = self.all_of(word)[-1]
        words: list[str] = json.loads(rest[rest.index("[") :])
        return words

    @property
    def steps(self) -> list[str]:
        """The commands that make or fill the environment."""
        return [step for step in self.all_of("RUN") if ENVIRONMENT in step]


IMAGES = [Image("Dockerfile", "3.12"), Image("Dockerfile.jetson", "3.10", pip="22.0.2")]


@dataclass(frozen=True)
class Rehearsal:
    """An image's steps in a folder of this machine."""

    image: Image
    folder: Path
    python: str

    @property
    def environment(self) -> Path:
        return self.folder / "environment"

    def build(self) -> None:
        """Make the environment. What only the image has (TensorRT, and CUDA for pycuda) is stood in for or left out."""
        (self.folder / "image" / "tensorrt").mkdir(parents=True)
        (self.folder / "image" / "tensorrt" / "__init__.py").touch()
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        for name in ("python", "python3"):
            (bin_folder / name).symlink_to(self.python)
        self._lay_source()
        for step in self.image.steps:
            click.echo(f"  {step}")
            self.run(step)
            if self.image.pip and " -m venv " in step:
                self.run(f"{ENVIRONMENT}/bin/pip install --quiet pip=={self.image.pip}")

    def _lay_source(self) -> None:
        """The build's context: what .dockerignore lets through."""
        allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
        for name in allowed:
            place = self.folder / "source" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
        wanted = self.folder / "source" / "containers" / "jetson.txt"
        if "jetson" in self.image.name and not Path("/usr/local/cuda/include/cuda.h").exists():
            wanted.write_text(re.sub(r"^pycuda.*\n", "", wanted.read_text("utf-8"), flags=re.MULTILINE))
            click.echo("  pycuda is left out: there is no CUDA to compile it with")

    def here(self, text: str) -> str:
        """With the folders of this machine."""
        return text.replace(ENVIRONMENT, str(self.environment)).replace(SOURCE, str(self.folder / "source"))

    @property
    def variables(self) -> dict[str, str]:
        paths = [self.environment / "bin", self.folder / "bin"]
        return {
            **os.environ,
            "PATH": ":".join([*map(str, paths), "/usr/local/cuda/bin", os.environ["PATH"]]),
            "PYTHONPATH": str(self.folder / "image") if "jetson" in self.image.name else "",
            "LIBRARY_PATH": "/usr/local/cuda/lib64/stubs",
            "ONNXRUNTIME": next((rest.split("=", 1)[1] for rest in self.image.all_of("ARG")), ""),
            "MDSGEN_CACHE": str(self.folder / "cache"),
            "MDSGEN_TOKEN": "rehearsal",
        }

    def run(self, step: str) -> None:
        """A step as Docker runs it, in a shell."""
        _checked(["sh", "-ec", self.here(step)], self.variables)

    def serve(self) -> float:
        """Start what the image starts, on another port, and end it: seconds until the health check was content."""
        port = "18080"
        command = [*self.image.last("ENTRYPOINT"), *self.image.last("CMD"), "--port", port, "--engine", "onnxruntime"]
        check = [word.replace("8080", port) for word in self.image.last("HEALTHCHECK")]
        started = time.monotonic()
        with child(command, env=self.variables) as server:
            while subprocess.run(check, env=self.variables, capture_output=True, timeout=30, check=False).returncode:
                if server.poll() is not None or time.monotonic() - started > 120:
                    raise click.ClickException(f"{self.image.name}: the server did not become healthy")
                time.sleep(0.2)
            healthy = time.monotonic() - started
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=30)
        if server.returncode or errors:
            raise click.ClickException(f"{self.image.name}: the server ended with {server.returncode}: {errors}")
        return healthy


def wheels_for_arm(image: Image, requirements: list[str]) -> None:
    """Fail where the package index has no wheel for this image's Python on Arm."""
    platforms = [f"--platform=manylinux_2_{n}_aarch64" for n in (17, 24, 26, 27, 28, 31, 34)]
    options = ["--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:", *platforms]
    with tempfile.TemporaryDirectory() as folder:
        target = [f"--target={folder}", f"--python-version={image.python}", "--implementation=cp"]
        _checked([sys.executable, "-m", "pip", "install", *options, *target, *requirements], dict(os.environ))


def _checked(command: list[str], variables: dict[str, str]) -> None:
    with child(command, env=variables, stdin=subprocess.DEVNULL) as process:
        _, errors = process.communicate(timeout=LIMIT)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)[-200:]}: {errors.strip()[-600:]}")


def requirements(image: Image) -> list[str]:
    """What is fetched from the package index for an image, but what is compiled in it."""
    if "jetson" in image.name:
        lines = (FOLDER / "jetson.txt").read_text("utf-8").splitlines()
        listed = [line for line in lines if line and not line.startswith(("#", "pycuda"))]
        return [*listed, image.all_of("ARG")[0].split("=", 1)[1]]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    lean = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    serve = re.search(r"^serve = \[(.*?)\]", project, re.MULTILINE)
    assert lean
    assert serve
    return re.findall(r'"([^"]+)"', lean[1] + serve[1])


@click.command()
@click.option("--python", "pythons", multiple=True, help="VERSION=COMMAND of a Python that is not on the PATH.")
def main(pythons: tuple[str, ...]) -> None:
    """Do what the container files do, without a container."""
    named = dict(entry.split("=", 1) for entry in pythons)
    for image in IMAGES:
        click.echo(f"{image.name}: wheels for Arm, Python {image.python}")
        wheels_for_arm(image, requirements(image))
        python = named.get(image.python) or shutil.which(f"python{image.python}")
        if python is None:
            click.echo(f"{image.name}: Python {image.python} is not here, its steps are skipped")
            continue
        with tempfile.TemporaryDirectory() as folder:
            rehearsal = Rehearsal(image, Path(folder), python)
            rehearsal.build()
            click.echo(f"{image.name}: healthy after {rehearsal.serve():.1f} s")


if __name__ == "__main__":
    main()
