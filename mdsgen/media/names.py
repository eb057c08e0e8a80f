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


def is_endless(source: Path) -> bool:
    """Whether this names a source without an end: ``-``, an address such as ``rtsp://…``, or a device."""
    if str(source) == PIPE or ADDRESS.match(str(source)):
        return True
    try:
        mode = source.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
