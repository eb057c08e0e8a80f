"""The videos of a folder: which files are taken, and how many are left out for which reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mdsgen.errors import MediaError

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".h264", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".webp", ".wmv",
})
# fmt: on
"""What is taken from a folder, in capitals too; a file that is named is tried whatever it is called."""

MARK = ".mdsgen"
"""What tells a result from its source where nobody names it: ``video.mp4`` becomes ``video.mdsgen.mp4``."""

FOLDER, LINK, HIDDEN = "folder (see --recursive)", "link to a folder", "hidden file"
RESULT, OTHER = "earlier result", "other file"
"""Why a file is left out."""


@dataclass(frozen=True)
class Folder:
    """``videos`` in one order on every machine, and how many files were ``left_out``, by what they are."""

    path: Path
    videos: tuple[Path, ...]
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """One line: ``films: 3 videos; left out: 1 folder (see --recursive), 2 other files``."""
        return f"{self.path}: {_counted(len(self.videos), 'video')}{_left_out(self.left_out)}"


def read_folder(path: Path, *, recursive: bool = False) -> Folder:
    """The videos in a folder, by their suffix; with ``recursive``, also those in the folders below it.

    Left out and counted are hidden files and folders, earlier results of ours (:data:`MARK`), other files, and
    folders unless ``recursive``; links to folders are never followed. Raises :class:`MediaError` where there is no
    video, and for a folder that cannot be read.
    """
    videos, left_out = [], Counter[str]()
    for entry in _entries(path, recursive):
        reason = _reason(entry)
        if reason is None:
            videos.append(Path(entry.path))
        elif not (recursive and reason == FOLDER):
            left_out[reason] += 1
    if not videos:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        raise MediaError(f"no videos in {path}: expected files that end in {suffixes}{_left_out(left_out)}")
    return Folder(path, tuple(sorted(videos)), left_out)


def _entries(path: Path, recursive: bool) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except OSError as error:
        raise MediaError(f"cannot read the folder {path}: {error.strerror}") from error
    for entry in found:
        yield entry
        if recursive and _reason(entry) == FOLDER:
            yield from _entries(Path(entry.path), recursive)


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Why a file is left out; None for a video."""
    if entry.name.startswith("."):
        return HIDDEN
    if entry.is_dir():
        return LINK if entry.is_symlink() else FOLDER
    if f"{MARK}." in entry.name:
        return RESULT
    is_video = os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES and entry.is_file()
    return None if is_video else OTHER


def _left_out(reasons: Counter[str]) -> str:
    counts = ", ".join(_counted(count, reason) for reason, count in sorted(reasons.items()))
    return f"; left out: {counts}" if counts else ""


def _counted(count: int, what: str) -> str:
    noun, space, rest = what.partition(" ")
    if noun in ("folder", "link"):
        return f"{count} {noun if count == 1 else noun + 's'}{space}{rest}"
    return f"{count} {what if count == 1 else what + 's'}"
