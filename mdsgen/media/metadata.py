"""What a container says of its film: title, date, place, chapters, time code."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from av.container import InputContainer, OutputContainer

_OF_THE_FILE = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"})
"""Written anew by every muxer."""
_DESCRIPTION = frozenset({"title", "artist", "author", "album", "show", "genre", "keywords", "comment", "description"})
_ORIGIN = frozenset({"copyright", "date", "year", "creation_time", "location", "make", "model", "timecode", "chapters"})
_WORTH_NAMING = _DESCRIPTION | _ORIGIN
"""What a person would miss; the rest is counted."""
_STATISTICS = ("bps", "duration", "number_of_", "_statistics", "encoder")
"""How Matroska's counts of a stream begin, and its encoder's name."""


_TIMECODE = re.compile(r"\d\d:\d\d:\d\d([:;.])\d\d")
_DROPPING = (30, 60)
"""Pictures per second at which time codes may leave out numbers."""


def carry_over(source: InputContainer, output: OutputContainer, start: float, rate: Fraction) -> None:
    """Copy what ``source`` says of the film; chapters move so that they count from ``start``, the first picture."""
    said = {key: value for key, value in source.metadata.items() if key.lower() not in _OF_THE_FILE}
    output.metadata.update(_with_possible_timecode(said, rate))
    chapters = _chapters(source)
    if chapters and hasattr(output, "set_chapters"):
        moved: Any = [_moved(chapter, start) for chapter in chapters]
        output.set_chapters(moved)


def stream_metadata(stream: Any, rate: Fraction) -> dict[str, str]:
    """What is said of one stream: language, title, time code; without counts that may be wrong in the copy."""
    said = {key: value for key, value in stream.metadata.items() if not key.lower().startswith(_STATISTICS)}
    return _with_possible_timecode(said, rate)


def _with_possible_timecode(said: dict[str, str], rate: Fraction) -> dict[str, str]:
    """Without a time code that QuickTime cannot count at ``rate`` pictures per second: it would refuse the film."""
    found = _TIMECODE.fullmatch(next((value for key, value in said.items() if key.lower() == "timecode"), ""))
    is_possible = found and 1 <= round(rate) <= 255 and (found[1] == ":" or round(rate) in _DROPPING)
    return said if is_possible else {key: value for key, value in said.items() if key.lower() != "timecode"}


def facts(container: InputContainer) -> set[str]:
    """The names of all that a container says of its film."""
    names = {key.lower() for key in container.metadata}
    names = {name for name in names - _OF_THE_FILE if name.rpartition("-")[0] not in names}  # "location-eng"
    if _chapters(container):
        names.add("chapters")
    if any("timecode" in (key.lower() for key in stream.metadata) for stream in container.streams):
        names.add("timecode")
    return names


def missing(before: set[str], after: set[str]) -> list[str]:
    """What :func:`facts` told of one file and does not tell of another, in words."""
    lost = before - after
    others = len(lost - _WORTH_NAMING)
    counted = [f"{others} other tag{'s' if others > 1 else ''}"] if others else []
    return [*sorted(lost & _WORTH_NAMING), *counted]


def _chapters(container: Any) -> list[Any]:
    """A container's chapters; none where PyAV cannot tell (before 16)."""
    return list(container.chapters()) if hasattr(container, "chapters") else []


def _moved(chapter: Any, start: float) -> dict[str, Any]:
    first = round(start / Fraction(chapter["time_base"]))
    return {**chapter, "start": max(0, chapter["start"] - first), "end": max(0, chapter["end"] - first)}
