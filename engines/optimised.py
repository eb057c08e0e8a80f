"""Graphs as an engine has optimised them, kept on this machine: opening one again takes half the time.

A kept graph computes exactly what the original does, for this processor, this version of the engine and these options
alone. It lies in a folder of its own: ONNX Runtime's with its weights in a file beside it, OpenVINO's as one file, with
the names of inputs and outputs in another, since a compiled network may have several for each.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from mdsgen.cache import cache_folder
from mdsgen.conditions import processor_facts
from mdsgen.engines.base import EngineOptions
from mdsgen.errors import EngineError
from mdsgen.files import crc32, whole_folder

T = TypeVar("T")

GRAPH, WEIGHTS, COMPILED, INTERFACE, SUMS = "graph.onnx", "graph.weights", "graph.blob", "interface.json", "crc32"
"""The files of a kept graph, and their checksums: a bit that flips on the disk must not become another sound."""

LARGEST = 64_000_000
"""Bytes that a graph with its weights may have to be kept: what is kept takes up to twice as many on the disk."""
MOST = 30
"""So many graphs are kept, those that were opened last: six bundles of five."""


class KeptGraph:
    """Where the optimised form of a graph is kept, or will be; ``engine`` says which one's, and of which version."""

    def __init__(self, graph: str, options: EngineOptions, engine: str) -> None:
        facts = [
            str(options.checksum),
            engine,
            processor_facts(),
            str(options.threads),
            str(options.fold_constants),
            str(options.bfloat16),
        ]
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
        self.folder = cache_folder("graphs") / f"{graph}-{digest[:32]}"

    def find(self) -> Path | None:
        """The folder; None where nothing is kept, or it is no longer what was."""
        with suppress(OSError):
            kept = (self.folder / SUMS).read_text("ascii", "replace")
            os.utime(self.folder)  # the last that was opened
            if kept == _checksums(self.folder):
                return self.folder
        self.forget()
        return None

    def forget(self) -> None:
        """Remove what cannot be opened."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, open_with: Callable[[Path | None], T]) -> T:
        """What ``open_with`` makes of the folder that it is to write the graph into: None where nothing can be kept."""
        opened: list[T] = []
        with suppress(OSError, EngineError):  # a disk that is full or read-only, or another process that was first
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            _forget_oldest(self.folder.parent)
            with whole_folder(self.folder) as folder:
                opened.append(open_with(folder))
                (folder / SUMS).write_text(_checksums(folder), "ascii")
        return opened[0] if opened else open_with(None)


def _checksums(folder: Path) -> str:
    files = (folder / name for name in (GRAPH, WEIGHTS, COMPILED, INTERFACE))
    return "\n".join(f"{crc32(file):08x}" for file in files if file.exists())


def _forget_oldest(place: Path) -> None:
    found = sorted(place.glob("[!.]*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in found[MOST - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
