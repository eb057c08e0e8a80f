"""Training clips out of a folder of films, each cut into windows one after the other.

The files are taken in groups, a shard each, which workers prepare side by side. A shard keeps beside its arrays which
clip is which, and what had to be skipped and why; at the end that becomes ``clips.csv`` and ``skipped.csv``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from mdsgen.errors import DatasetError, MediaError, writing
from mdsgen.files import write_whole
from mdsgen.geometry import Geometry
from mdsgen.media import VideoInfo, averaged, probe, read_frames, read_sound
from mdsgen.report import Pace, Report, silent
from mdsgen.training.clips import Spread, as_int16, clip_fields, in_parallel, stacked
from mdsgen.training.shards import as_utf8, describe, shard_path, write_shard

CLIPS, SKIPPED = "clips.csv", "skipped.csv"
_CLIP_COLUMNS, _SKIPPED_COLUMNS = ("clip", "file", "second"), ("file", "second", "reason")
_GROUP_FILES, _GROUP_BYTES = 64, 1 << 28  # of films, so that the clips of a group fit into memory


class ClipMaker(Protocol):
    """What becomes of a window: pictures float32 ``[F, 3, size, size]`` and sound float32 ``[samples]`` to fields."""

    @property
    def geometry(self) -> Geometry: ...

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> dict[str, np.ndarray]: ...

    def describe(self) -> dict[str, object]:
        """What decides the fields, as plain values."""
        ...


@dataclass(frozen=True)
class CompactClips:
    """Pictures, sound and spectrogram, as :func:`~mdsgen.training.clips.clip_fields` keeps them."""

    geometry: Geometry

    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> dict[str, np.ndarray]:
        pictures = np.rint(frames.transpose(0, 2, 3, 1) * 255).astype(np.uint8)  # [F, size, size, 3]
        return clip_fields(averaged(pictures, self.geometry.picture_size), as_int16(sound), self.geometry)

    def describe(self) -> dict[str, object]:
        return {}


def prepare_videos(
    folder: Path,
    root: Path,
    files: Sequence[Path],
    make: ClipMaker,
    *,
    spread: Spread | None = None,
    report: Report = silent,
) -> None:
    """Cut films, ``files`` below ``root``, into the windows of ``make.geometry`` and keep them as a dataset.

    A last window that is less than half there is left out. What cannot be used is skipped: damaged files, files without
    a sound track, shorter ones than half a window. Shards that are there already are kept. ``spread``
    None is this process. Raises :class:`DatasetError` where the folder holds a dataset of other files, or where no file
    could be used.
    """
    geometry = make.geometry
    try:
        listing = b"\n".join(b"%s %d" % (os.fsencode(path.relative_to(root)), path.stat().st_size) for path in files)
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}") from error
    digest = hashlib.sha256(listing).hexdigest()
    describe(folder, {"files": len(files), "sha256": digest, "geometry": geometry.to_dict(), **make.describe()})
    groups = list(enumerate(_groups(files)))
    todo = [group for group in groups if not shard_path(folder, group[0]).exists()]
    done = len(groups) - len(todo)
    pace = Pace(done)
    for _ in (spread or in_parallel)(partial(_prepare_group, folder, root, make), todo):
        done += 1
        report(pace.line(done, len(groups), "shards prepared"))
    clips, skipped = _join(folder, len(groups))
    report(f"{clips} clips of {len(files)} files; {skipped} skipped, see {folder / SKIPPED}")
    if not clips:
        raise DatasetError(f"none of the {len(files)} files in {root} can be used: {folder / SKIPPED} says why")


def _groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    size = 0
    for path in files:
        if group and (len(group) == _GROUP_FILES or size + path.stat().st_size > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(path)
        size += path.stat().st_size
    if group:
        yield group


def _prepare_group(folder: Path, root: Path, make: ClipMaker, group: tuple[int, list[Path]]) -> None:
    index, files = group
    clips, kept, skipped = [], [], []
    for path in files:
        name = str(path.relative_to(root))
        try:
            info = probe(path)
            seconds = window_starts(info, make.geometry)
        except MediaError as error:
            skipped.append((name, "", str(error)))
            continue
        for second in seconds:
            try:
                clips.append(make(*read_window(info, second, make.geometry)))
                kept.append(("", name, f"{second:.3f}"))
            except MediaError as error:
                skipped.append((name, f"{second:.3f}", str(error)))
    notes = {CLIPS: _table(_CLIP_COLUMNS, kept), SKIPPED: _table(_SKIPPED_COLUMNS, skipped)}
    write_shard(folder, index, stacked(clips), notes)


def window_starts(info: VideoInfo, geometry: Geometry) -> list[float]:
    """The seconds at which a film's windows begin. Raises :class:`MediaError` where it has none that is of use."""
    if not info.has_audio:
        raise MediaError(f"{info.path} has no sound track")
    count, rest = divmod(info.duration, geometry.duration)
    if rest >= geometry.duration / 2:
        count += 1
    if not count:
        raise MediaError(
            f"{info.path} lasts {info.duration:.3f} s: expected half of {geometry.duration:.3f} s at least"
        )
    return [index * geometry.duration for index in range(int(count))]


def read_window(info: VideoInfo, second: float, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Pictures ``[F, 3, size, size]`` and sound ``[samples]``; past the end, the last picture and silence."""
    seen = read_frames(info, geometry.frame_rate, geometry.frame_size, start=second, duration=geometry.duration)
    frames = list(islice(seen, geometry.video_frames))
    if not frames:
        raise MediaError(f"{info.path} has no picture after second {second:.3f}, although it says to last longer")
    frames += frames[-1:] * (geometry.video_frames - len(frames))
    parts = list(read_sound(info, start=second, duration=geometry.duration))
    sound = np.concatenate([np.zeros(0, np.float32), *parts])[: geometry.samples]
    return np.stack(frames), np.pad(sound, (0, geometry.samples - len(sound)))


def _join(folder: Path, groups: int) -> tuple[int, int]:
    """Make one table each of what the shards say; returns the number of clips and of what was skipped."""
    clips, skipped = [], []
    for index in range(groups):
        clips += [(row["file"], row["second"]) for row in _rows(shard_path(folder, index) / CLIPS, _CLIP_COLUMNS)]
        skipped += [tuple(row.values()) for row in _rows(shard_path(folder, index) / SKIPPED, _SKIPPED_COLUMNS)]
    numbered = [(str(number), *clip) for number, clip in enumerate(clips)]
    with writing(folder, DatasetError):
        write_whole(folder / CLIPS, as_utf8(_table(_CLIP_COLUMNS, numbered)))
        write_whole(folder / SKIPPED, as_utf8(_table(_SKIPPED_COLUMNS, skipped)))
    return len(clips), len(skipped)


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{column: row[column] or "" for column in columns} for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DatasetError(
            f"{path} is missing or damaged: remove {path.parent}, the same command makes it anew"
        ) from error


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
