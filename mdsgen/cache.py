"""Where this machine keeps what it has found out: compiled kernels, chosen engines, TensorRT's timings."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder of one kind of thing; it need not exist yet.

    It lies in ``$MDSGEN_CACHE``, else in ``$XDG_CACHE_HOME/mdsgen`` or ``~/.cache/mdsgen``, and where there is no home
    in a folder for temporary files that belongs to this user alone.
    """
    chosen = os.environ.get("MDSGEN_CACHE")
    return (Path(chosen) if chosen else _user_caches() / "mdsgen") / kind


def _user_caches() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # others are to be passed over, says the XDG specification
        return Path(chosen)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # neither $HOME nor an entry in the password database: a container's nameless user
        return _private(Path(tempfile.gettempdir(), f"mdsgen-{os.getuid()}"))


def _private(folder: Path) -> Path:
    """A folder of this user's: where somebody else took the name, one with a name of its own."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid == os.getuid() and not found.st_mode & 0o022 and folder.is_dir() and not folder.is_symlink():
        return folder
    return Path(tempfile.mkdtemp(prefix="mdsgen-"))
