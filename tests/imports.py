"""Which package imports which, read off the sources; the modules of ``mdsgen/`` itself count as one, ``ground``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FOLDERS = {"mdsgen": ROOT / "mdsgen"} | {f"mdsgen.{name}": ROOT / name for name in ("export", "engines", "kernels")}
PACKAGES = sorted(
    [folder.name for folder in (ROOT / "mdsgen").iterdir() if (folder / "__init__.py").exists()]
    + ["export", "engines", "kernels"]
)


def imports() -> set[tuple[str, str]]:
    """``(importer, imported)`` for every two packages of which one imports the other, wherever in a file."""
    return {
        (package_of(module), package_of(found))
        for module, path in _modules()
        for found in _imported(path)
        if module != "mdsgen" and package_of(module) != package_of(found)
    }


def package_of(module: str) -> str:
    """``mdsgen.engines.base`` is in ``engines``, ``mdsgen.errors`` in ``ground``."""
    part = module.split(".")[1] if "." in module else ""
    return part if part in PACKAGES else "ground"


def _modules() -> Iterator[tuple[str, Path]]:
    for package, folder in _FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "mdsgen")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mdsgen":
            yield from (f"{node.module}.{name.name}" for name in node.names)
