"""The parts of the check, in order of worth, each with a limit: whatever becomes of one, result and log are kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.gpu import BUNDLE, FIGURES, REHEARSAL

ROOT = Path(__file__).parents[2]
_PYTEST = ("-m", "pytest", "-q", "-m", "gpu", "-rsP", "-p", "no:cacheprovider", "-o", "timeout=0")


@dataclass(frozen=True)
class Part:
    """A command of Python's that ends within ``limit`` seconds.

    ``counts``: the target that is 0 where the command ends well, and 1 where it does not. ``needs`` says what is
    missing to run it. Nothing else runs where a part fails that the others ``depend`` on.
    """

    name: str
    command: tuple[str, ...]
    limit: float
    counts: str = ""
    needs: Callable[[], str] = lambda: ""
    prefix: tuple[str, ...] = ()
    depend: bool = False


@dataclass(frozen=True)
class Result:
    """``outcome``: passed, failed, out of time, or why it was not run."""

    part: str
    outcome: str
    seconds: float
    log: str = ""


def parts_of(folder: Path) -> tuple[Part, ...]:
    """All of them; ``folder`` takes the bundle where none is named."""
    sanitizer = ("compute-sanitizer", "--error-exitcode", "1", "--tool")
    kernels = (*_PYTEST, "tests/kernels")
    return (
        Part("imports and device", ("-m", "tests.gpu.device"), 120, depend=True),
        Part("kernels against float64", kernels, 180, "kernels"),
        Part("plans", ("-m", "tests.gpu.plans", str(folder)), 1200),
        Part("graph against stream order", (*_PYTEST, "tests/gpu/test_clip.py"), 300),
        Part("loop and clip, TensorRT", (*_PYTEST, "tests/gpu/test_speed.py"), 300),
        Part("loop, PyTorch beside it", (*_PYTEST, "tests/gpu/test_pytorch.py"), 900, needs=_without_torch),
        *(Part(name, kernels, 300, name, _without_sanitizer, (*sanitizer, name)) for name in ("memcheck", "racecheck")),
    )


def run_all(
    parts: tuple[Part, ...], folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> list[Result]:
    """Run part after part; ``folder`` keeps their logs, ``results.json`` after each, and the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "figures.jsonl"
    figures.unlink(missing_ok=True)
    kept = {BUNDLE: os.environ.get(BUNDLE, str(folder / "bundle")), FIGURES: str(figures), "PYTHONUNBUFFERED": "1"}
    results: list[Result] = []
    for index, part in enumerate(parts):
        say(f"\n=== {part.name} (at most {part.limit:g} s)")
        result = _run(part, folder / f"{index + 1}-{part.name.replace(' ', '-')}.log", {**kept, **environment}, say)
        if part.counts and not result.outcome.startswith("not run"):
            with figures.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"target": part.counts, "value": int(result.outcome != "passed")}) + "\n")
        say(f"--- {part.name}: {result.outcome}, {result.seconds:.0f} s")
        results.append(result)
        (folder / "results.json").write_text(json.dumps([asdict(r) for r in results], indent=2), encoding="utf-8")
        if part.depend and result.outcome != "passed":
            break
    return results


def figures_in(folder: Path) -> dict[str, float]:
    """What was measured, the last of each."""
    path = folder / "figures.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["target"]: entry["value"] for entry in map(json.loads, lines)}


def _run(part: Part, log: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> Result:
    missing = part.needs()
    if missing:
        return Result(part.name, f"not run: {missing}", 0.0)
    command = [*part.prefix, sys.executable, *part.command]
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        file.write(f"$ {shlex.join(command)}\n")
        file.flush()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True
        )
        try:
            outcome = "passed" if process.wait(part.limit) == 0 else "failed"
        except subprocess.TimeoutExpired:
            outcome = "out of time"
        finally:  # with whatever it started
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    say(log.read_text(encoding="utf-8", errors="replace").rstrip())
    return Result(part.name, outcome, time.monotonic() - start, log.name)


def _without_sanitizer() -> str:
    if REHEARSAL in os.environ:
        return "a rehearsal has no compute-sanitizer"
    return "" if shutil.which("compute-sanitizer") else "compute-sanitizer is not on the PATH"


def _without_torch() -> str:
    try:
        import torch
    except ImportError as error:
        return f"PyTorch cannot be imported ({error})"
    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no CUDA device"
