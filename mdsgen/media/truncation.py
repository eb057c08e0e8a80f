"""Telling a file that was cut off: a container's header says how long it is.

Demuxers read what is there and call the rest the end of the film, so the lengths are compared here: the boxes of MP4
and MOV (ISO/IEC 14496-12, 4.2), the RIFF chunks of AVI, and the segment of Matroska and WebM (RFC 8794 and 9559).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from mdsgen.errors import MediaError

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"mfra", b"uuid"})
_UNKNOWN_RIFF = (0, 0xFFFFFFFF)


def refuse_truncated(path: Path) -> None:
    """Raise :class:`MediaError` where the file is shorter than its own header says."""
    try:
        have = path.stat().st_size
        with path.open("rb") as file:
            promised = _promised_length(file, have)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    if promised > have:
        raise MediaError(
            f"{path} ends early: it holds {have} of the {promised} bytes that its header promises; copy it once more"
        )


def _promised_length(file: BinaryIO, have: int) -> int:
    head = file.read(12)
    file.seek(0)
    if head[:4] == _EBML:
        return _matroska_length(file)
    if head[:4] == b"RIFF":
        return _riff_length(file, have)
    if head[4:8] in _BOXES:
        return _box_length(file, have)
    return 0


def _box_length(file: BinaryIO, have: int) -> int:
    """The end of the last box that begins inside the file. What is no known box (trailing bytes) is not counted."""
    end = 0
    while end < have:
        file.seek(end)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind not in _BOXES or size < 8:  # size 0: the box ends with the file
            break
        end += size
    return end


def _riff_length(file: BinaryIO, have: int) -> int:
    """The end of the last RIFF chunk: large AVI files hold several."""
    end = 0
    while end < have:
        file.seek(end)
        head = file.read(8)
        size = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or size in _UNKNOWN_RIFF:
            break
        end += 8 + size
    return end


def _matroska_length(file: BinaryIO) -> int:
    """The end of the segment; 0 where its length is left open, as in a live recording."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return 0
    size = _vint(file)
    return 0 if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """EBML's variable-length integer; None where all its bits are set ("unknown") or it is not one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    bits = 7 * length
    value = int.from_bytes(first + file.read(length - 1), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
