"""The archives that PyTorch writes, looked at before any memory is taken for what they claim to hold."""

from __future__ import annotations

import zipfile
from pathlib import Path


def check_archive(path: Path) -> None:
    """Raise :class:`ValueError` where a PyTorch archive would unpack to more than its file holds.

    PyTorch packs nothing, so an entry that is compressed, or shares its bytes with others, is there to take memory.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if packed := [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]:
        raise ValueError(f"{packed[0][:80]!r} in it is compressed, which PyTorch never does")
    claimed, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > size:
        raise ValueError(f"it claims {claimed} bytes in a file of {size}")


def check_entries(path: Path) -> None:
    """Raise :class:`ValueError` where an entry of a PyTorch archive differs from its own checksum."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged[:80]!r} in it is damaged")
