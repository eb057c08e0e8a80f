"""What a name on the command line stands for where it is not that of a file: a pipe, an address, a device."""

from __future__ import annotations

import re
import stat
from pathlib import Path

PIPE = "-"
"""What stands for standard input, or standard output."""
RAW = "raw"
"""The format of samples without a header: signed 16-bit, little-endian, 16 kHz mono."""

ADDRESS = re.compile(r"^(rtsps?|rtmps?|srt|udp|tcp|https?):/+")
_ANY_ADDRESS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+")  # not a drive, which has one letter


def as_given(source: Path) -> str:
    """A name as it was given: of the two slashes of an address a path keeps one."""
    return _ANY_ADDRESS.sub(r"\1://", str(source))


def is_foreign(source: Path) -> bool:
    """Whether this names something that is neither a file nor a source without an end, such as ``hf://…``."""
    return bool(_ANY_ADDRESS.match(str(source))) and not is_endless(source) and not source.exists()


def is_endless(source: Path) -> bool:
    """Whether this names a source without an end: ``-``, an address such as ``rtsp://…``, or a device."""
    if str(source) == PIPE or ADDRESS.match(str(source)):
        return True
    try:
        mode = source.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
