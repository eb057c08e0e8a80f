"""TensorRT plans on disk: ``<bundle>/plans/<machine>/<graph>.plan`` with a ``plan.json`` that says for what they are.

A plan runs on the machine that it was built on. So before one is used the record is compared with this machine, and
with the ONNX file and weights beside it; what differs is named, and how to build the plans again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mdsgen.errors import EngineError
from mdsgen.files import sha256

PLANS_FOLDER = "plans"
"""The folder beside the ONNX files that holds one folder per machine."""
RECORD_FILE = "plan.json"
SUFFIX = ".plan"

_WORDS = {
    "tensorrt": "TensorRT",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "cuda": "CUDA",
}

HARDWARE_LEVELS = {"ampere+": "AMPERE_PLUS", "same-compute-capability": "SAME_COMPUTE_CAPABILITY"}
"""What a plan that is to run on other GPUs can be built for, with TensorRT's names."""


@dataclass(frozen=True)
class Machine:
    """What a plan depends on; ``cuda`` is what the driver supports."""

    tensorrt: str
    gpu: str
    compute_capability: str
    cuda: str

    @property
    def key(self) -> str:
        """A folder name."""
        architecture = self.compute_capability.replace(".", "")
        name = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")
        return f"{name}-sm{architecture}-tensorrt{self.tensorrt}-cuda{self.cuda}"

    def __str__(self) -> str:
        return f"{self.gpu} (compute capability {self.compute_capability}), TensorRT {self.tensorrt}, CUDA {self.cuda}"


@dataclass(frozen=True)
class PlanRecord:
    """What ``plan.json`` says. ``sources`` are the SHA-256 of each graph's files, ``plans`` those of the plans."""

    machine: Machine
    sources: dict[str, dict[str, str]]
    plans: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    quality: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        values = {**vars(self), "machine": vars(self.machine)}
        (folder / RECORD_FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> PlanRecord:
        """Raises :class:`EngineError` where the file is not what :meth:`write` wrote."""
        try:
            values = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            machine = Machine(**{f.name: str(values["machine"][f.name]) for f in fields(Machine)})
            sources = {str(graph): dict(files) for graph, files in values["sources"].items()}
            plans = {str(graph): str(digest) for graph, digest in values["plans"].items()}
            return cls(machine, sources, plans, dict(values["options"]), list(values["quality"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{folder / RECORD_FILE} cannot be read ({type(error).__name__}: {error}); {rebuild(folder)}"
            ) from error

    def differences(self, machine: Machine) -> list[str]:
        """In words, what keeps the plans from running on this machine; empty where nothing does."""
        loose = self._loose(machine)
        return [
            f"{word} {getattr(self.machine, name)}, here {getattr(machine, name)}"
            for name, word in _WORDS.items()
            if name not in loose and getattr(self.machine, name) != getattr(machine, name)
        ]

    def _loose(self, machine: Machine) -> set[str]:
        """What need not be equal, by how the plans were built."""
        loose = set()
        if self.options.get("version_compatible") and _major(self.machine.tensorrt) == _major(machine.tensorrt):
            loose |= {"tensorrt", "cuda"}
        level = self.options.get("hardware_compatible")
        if level == "same-compute-capability":
            loose |= {"gpu"}
        if level == "ampere+" and _major(machine.compute_capability) >= 8:
            loose |= {"gpu", "compute_capability"}
        return loose


def rebuild(folder: Path) -> str:
    """What to do, for the end of a message; ``folder`` is one of a bundle's plans."""
    bundle = folder.parent.parent if folder.parent.name == PLANS_FOLDER else "BUNDLE"
    return f"build the plans again: mdsgen-export --bundle {bundle} --engine tensorrt"


def has_plans(onnx: Path) -> bool:
    """Whether anybody built plans for the graphs beside this file."""
    return bool(_folders(onnx.parent / PLANS_FOLDER))


def find_plan(onnx: Path, machine: Machine, folder: Path | None = None) -> tuple[Path, PlanRecord]:
    """The plan of a graph for this machine, and its record; ``folder`` None searches beside the ONNX file.

    Raises :class:`EngineError` that says what differs where there is none, or where it is of another graph.
    """
    folders = [folder] if folder is not None else _folders(onnx.parent / PLANS_FOLDER)
    if not folders:
        raise EngineError(
            f"{onnx.stem}: there are no TensorRT plans in {onnx.parent / PLANS_FOLDER}: "
            f"build them with mdsgen-export --bundle {onnx.parent} --engine tensorrt"
        )
    records = [(folder, PlanRecord.read(folder)) for folder in sorted(folders, key=lambda f: f.name != machine.key)]
    differences = [(record.differences(machine), folder, record) for folder, record in records]
    found, folder, record = min(differences, key=lambda entry: len(entry[0]))
    if found:
        raise EngineError(f"{onnx.stem}: the plan is for another machine ({'; '.join(found)}); {rebuild(folder)}")
    _check_sources(onnx, record, folder)
    return folder / f"{onnx.stem}{SUFFIX}", record


def read_plan(path: Path, record: PlanRecord) -> bytes:
    """The plan's bytes. Raises :class:`EngineError` where the file is missing or damaged."""
    expected = record.plans.get(path.stem)
    if expected is None or not path.is_file():
        raise EngineError(f"{path.stem}: there is no plan at {path}; {rebuild(path.parent)}")
    if sha256(path) != expected:
        raise EngineError(f"{path.stem}: the plan {path} is damaged; {rebuild(path.parent)}")
    return path.read_bytes()


def _check_sources(onnx: Path, record: PlanRecord, folder: Path) -> None:
    """That the plan was built from this very graph with these very weights."""
    sources = record.sources.get(onnx.stem, {})
    for name in sorted({onnx.name, *sources}):
        path = onnx.with_name(Path(name).name)
        if not path.is_file() or sha256(path) != sources.get(name):
            raise EngineError(f"{onnx.stem}: {name} has changed since the plan was built; {rebuild(folder)}")


def _folders(plans: Path) -> list[Path]:
    """The finished folders: one that is being built has a name that begins with a dot."""
    return sorted(path.parent for path in plans.glob(f"*/{RECORD_FILE}") if not path.parent.name.startswith("."))


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else -1
