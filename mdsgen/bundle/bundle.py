"""A bundle on disk: a folder that holds ``manifest.json`` and the graphs, whole or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from mdsgen.bundle.external import external_files
from mdsgen.bundle.fetched import fetch_bundle
from mdsgen.bundle.graph import MANIFEST_FILE, DataFile, Graph
from mdsgen.bundle.manifest import Manifest
from mdsgen.errors import BundleError
from mdsgen.files import recover, sha256, whole_folder, write_whole
from mdsgen.hub import HubName, is_hub_name
from mdsgen.paths import checked_path
from mdsgen.sampling import Sampling
from mdsgen.tensor import TensorSpec


class Bundle:
    """An opened bundle: its manifest, and where its graphs lie."""

    def __init__(self, folder: Path, manifest: Manifest, verified: bool = False, name: HubName | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.verified = verified
        """Whether every file had its SHA-256 when the bundle was opened."""
        self.name = name
        """What it was fetched by, with its commit; None for one that was here."""

    @classmethod
    def open(cls, folder: str | os.PathLike[str], verify: bool = True) -> Bundle:
        """Read a bundle and check its files: that they are there and of the right length, their SHA-256, and that no
        graph refers to a weight file that the manifest does not name for it. A name ``hf://owner/name[/path][@revision]``
        is fetched before.

        ``verify=False`` leaves the SHA-256 out, which costs about a second per gigabyte and processor core. Raises
        :class:`BundleError` naming the file, what was expected and what was found, and
        :class:`~mdsgen.errors.HubError` for what cannot be fetched.
        """
        fetched = fetch_bundle(HubName.parse(str(folder))) if is_hub_name(folder) else None
        folder = fetched.path if fetched else checked_path(folder, BundleError, "a bundle")
        recover(folder)
        manifest = _read_manifest(folder)
        for part in manifest.files:
            _check_length(folder, part)
        if verify:
            _check_hashes(folder, manifest.files)
        for graph in manifest.graphs.values():
            _check_data(folder, graph)
        return cls(folder, manifest, verify, fetched.name if fetched else None)

    @property
    def source(self) -> str:
        """Its folder; of one from the hub its name there, ``hf://owner/name@commit``."""
        return str(self.name or self.folder)

    @property
    def sampling(self) -> Sampling:
        """How its clips are sampled where a caller does not say otherwise."""
        return self.manifest.sampling

    @property
    def sha256(self) -> str:
        """The SHA-256 of its manifest, which has those of all other files: the same for the same bundle."""
        return sha256(self.folder / MANIFEST_FILE)

    def path(self, graph: str) -> Path:
        """The file of the graph of that name."""
        if graph not in self.manifest.graphs:
            raise BundleError(f"graph {graph!r} is unknown: expected one of {', '.join(self.manifest.graphs)}")
        return self.folder / self.manifest.graphs[graph].file


def write_manifest(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Write ``manifest.json`` into a folder; one that is there stays whole until the new one is."""
    try:
        text = json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(f"the manifest holds a value that JSON has no word for: {error}") from error
    # a file name that is not UTF-8 becomes an escape, as JSON has them
    write_whole(Path(folder) / MANIFEST_FILE, f"{text}\n".encode(errors="backslashreplace"))


def describe_file(path: str | os.PathLike[str]) -> DataFile:
    """Name, SHA-256 and length of a file."""
    path = Path(path)
    return DataFile(path.name, sha256(path), path.stat().st_size)


def describe_graph(
    path: str | os.PathLike[str],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    data: tuple[str | os.PathLike[str], ...] = (),
) -> Graph:
    """The manifest's entry for a graph file and the weight files that it refers to."""
    part = describe_file(path)
    return Graph(part.file, part.sha256, part.bytes, inputs, outputs, tuple(describe_file(file) for file in data))


@contextmanager
def create_bundle(target: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Make a bundle: a temporary folder beside ``target`` to write into, which becomes ``target`` at a clean exit.

    The folder must hold the manifest and every file of it by then: they are checked before the rename, so that what
    exists is whole. On any exception, an interruption too, nothing is left behind. An existing bundle is replaced only
    with ``replace=True``, and a folder that is not a bundle never is: :class:`BundleError`.
    """
    target = Path(target).resolve()  # a link keeps pointing at the new bundle
    check_target(target, replace)
    with whole_folder(target, replace=replace) as folder:
        yield folder
        Bundle.open(folder)
        check_target(target, replace)


def check_target(target: Path, replace: bool) -> None:
    """Raise unless a bundle may be put there: nothing, an empty folder, or with ``replace`` another bundle."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        values = _read_json(target)
    except BundleError:
        values = {}
    if not {"schema", "graphs"} <= values.keys():
        raise BundleError(f"{target} exists and is not a bundle: choose another place, or remove it yourself")
    if not replace:
        raise BundleError(f"{target} exists: choose another place, or ask to replace it")


def _read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest.from_dict(_read_json(folder))
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        found = "a folder without it" if folder.is_dir() else "a file" if folder.exists() else "nothing"
        raise BundleError(f"expected a bundle, a folder with {MANIFEST_FILE}; found {found}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST_FILE} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(values, dict):
        raise BundleError(f"{MANIFEST_FILE} must hold an object, not {type(values).__name__}")
    return values


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _check_length(folder: Path, part: DataFile) -> None:
    path = folder / part.file
    if not path.is_file():
        raise BundleError(f"{path} is missing: the manifest names it; copy or export the bundle again")
    found = path.stat().st_size
    if found != part.bytes:
        raise BundleError(f"{path} is damaged: expected {part.bytes} bytes, found {found}; export the bundle again")


def _check_data(folder: Path, graph: Graph) -> None:
    unnamed = external_files(folder / graph.file) - {part.file for part in graph.data}
    if unnamed:
        raise BundleError(
            f"{folder / graph.file} refers to {min(unnamed)!r:.80}, which the manifest does not name as its weights: "
            "export the bundle again"
        )


def _check_hashes(folder: Path, parts: tuple[DataFile, ...]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets go of the interpreter's lock
        for part, found in zip(parts, pool.map(describe_file, [folder / part.file for part in parts]), strict=True):
            if found.sha256 != part.sha256:
                raise BundleError(
                    f"{folder / part.file} is damaged: expected SHA-256 {part.sha256}, found {found.sha256}; "
                    "export the bundle again"
                )
