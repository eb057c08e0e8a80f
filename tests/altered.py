"""Copies of a bundle of which a graph's files were changed, with a manifest that is true of them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from mdsgen.bundle import Bundle, describe_graph, write_manifest


def altered(source: Path, target: Path, graph: str, files: dict[str, bytes]) -> Path:
    """Copy the bundle ``source``; ``files``, some of the files of ``graph``, get other contents."""
    shutil.copytree(source, target)
    manifest = Bundle.open(target, verify=False).manifest
    for name, content in files.items():
        (target / name).write_bytes(content)
    entry = manifest.graphs[graph]
    data = tuple(target / part.file for part in entry.data)
    new = describe_graph(target / entry.file, entry.inputs, entry.outputs, data)
    write_manifest(target, dataclasses.replace(manifest, graphs={**manifest.graphs, graph: new}))
    return target
