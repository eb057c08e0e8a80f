"""Machine code is made once per machine: kept by what it was made of, and never by a name alone."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from mdsgen.cache import cache_folder
from mdsgen.errors import KernelError
from mdsgen.files import write_whole
from mdsgen.kernels.compiler import OPTIONS, Compiler, find_compiler
from mdsgen.kernels.sources import KernelSource, headers

_CUBIN_MAGIC = b"\x7fELF"


def cubin_key(source: KernelSource, architecture: str, version: str) -> str:
    """Source, all headers, options, architecture and toolkit, as one hexadecimal number."""
    parts = [source.name, source.path.read_text("utf-8"), architecture, version, *OPTIONS, *source.options]
    for name, text in headers().items():
        parts += [name, text]
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(f"{len(content)}:".encode() + content)  # with its length, so that no two lists run into one
    return digest.hexdigest()


def cubin_of(
    source: KernelSource, architecture: str, compiler: Compiler | None = None, folder: Path | None = None
) -> bytes:
    """The source's machine code for ``architecture``: from the cache, or compiled now and put there.

    A cache that cannot be written is said, and costs a compilation in every process. Raises :class:`KernelError` where
    there is no compiler, or where it fails.
    """
    compiler = compiler or find_compiler()
    kept = (
        folder or cache_folder("kernels")
    ) / f"{source.name}-{architecture}-{cubin_key(source, architecture, compiler.version)}"
    kept = kept.with_suffix(".cubin")
    try:
        found = kept.read_bytes()
    except OSError:
        found = b""
    if found.startswith(_CUBIN_MAGIC):
        return found
    made = compiler.cubin(source, architecture)
    if not made.startswith(_CUBIN_MAGIC):
        raise KernelError(f"{compiler.version} made no machine code of {source.name} for {architecture}")
    _write(kept, made)
    return made


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, also where two processes do it at once or one is killed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        logging.getLogger("mdsgen").warning(
            f"cannot keep compiled kernels in {path.parent} ({error.strerror}): set MDSGEN_CACHE to a folder that can"
            " be written"
        )
