"""A child process that tries cases: numbers come on stdin, one JSON line each goes to stdout.

``python -m tests.fuzz.worker KIND SEED BASE SCRATCH``; the parent is :mod:`tests.fuzz.pool`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import traceback
from pathlib import Path
from random import Random

from mdsgen.errors import MdsgenError
from tests.fuzz.kind import LEFTOVER, RAISED, REFUSED, RESULT, UNREADABLE, Kind, load

MEMORY = 6 << 30
"""Bytes of address space of a worker: what a damaged header asks for must not take the machine's."""


def outcome(kind: Kind, random: Random, scratch: Path) -> tuple[str, str]:
    """Try one case in the empty folder ``scratch``; what came of it, and in which words."""
    path = kind.make(random, scratch)
    given = set(scratch.rglob("*"))
    results: list[Path] = []
    try:
        results += kind.use(path, random, scratch)
        come, words = RESULT, ""
    except MdsgenError as error:
        come, words = REFUSED, str(error)
        if not words or "\n" in words:
            return RAISED, f"a refusal of no line, or several: {words!r}"
    except Exception as error:
        return RAISED, _last_line(error)
    left = sorted(str(file.relative_to(scratch)) for file in scratch.rglob("*") if file not in {*given, *results})
    if left:
        return LEFTOVER, ", ".join(left)
    for result in results:
        try:
            kind.check(result)
        except Exception as error:
            return UNREADABLE, _last_line(error)
    return come, words


def _last_line(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:200]} ({os.path.basename(place.filename)}:{place.lineno})"


def main(kind_name: str, seed: str, base: str, scratch: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)  # libraries print what they like
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kind = load(kind_name)
    kind.open(Path(base))
    answers.write("ready\n")
    for line in sys.stdin:
        number = int(line)
        folder = Path(scratch)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        come, words = outcome(kind, Random(f"{kind_name}/{seed}/{number}"), folder)
        answers.write(json.dumps([number, come, words]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
