"""What a request asks for: which sound, in which kind of file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from mdsgen.errors import SettingsError

TYPES = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
}
"""The kinds of file that are answered, by suffix."""

_SUFFIXES: dict[str, str | None] = {
    **{kind: suffix for suffix, kind in TYPES.items()},
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/vnd.wave": ".wav",
    "audio/*": ".wav",
    "audio/x-flac": ".flac",
    "video/matroska": ".mkv",
    "video/*": None,
    "*/*": None,
}
JOB_NAME = "[A-Za-z0-9_-]{1,64}"
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Order:
    """``changes`` to the bundle's sampling, the part of the film that is to sound, and the ``suffix`` of the answer.

    ``suffix`` None is the container that can hold the film. ``job`` is the name under which the client follows the
    progress.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    start: float = 0.0
    duration: float | None = None
    suffix: str | None = None
    job: str | None = None

    @classmethod
    def read(cls, query: QueryParams, accept: str) -> Order:
        """Read a query and an ``Accept`` header; ``format`` in the query goes before the header.

        Raises :class:`SettingsError` for what is unknown or impossible, :class:`HTTPException` 406 for types that
        are never answered.
        """
        twice = [name for name, count in Counter(name for name, _ in query.multi_items()).items() if count > 1]
        if twice:
            raise SettingsError(f"{twice[0]!r:.80} is there more than once")
        values = {name: _parsed(name, text) for name, text in query.items()}
        suffix = values.pop("format") if "format" in values else _accepted(accept)
        own = {name: values.pop(name) for name in ("seed", "start", "duration", "job") if name in values}
        return cls(values, suffix=suffix, **own)


def _parsed(name: str, text: str) -> Any:
    if name not in _PARSERS:
        raise SettingsError(f"unknown parameter {name!r:.80}: expected one of {', '.join(_PARSERS)}")
    try:
        return _PARSERS[name](text)
    except ValueError as error:
        raise SettingsError(f"{name} must be {error}, not {text!r:.80}") from error


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > LARGEST_SEED:
        raise ValueError("a whole number, 0 or more")
    return int(text)


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) < 1:
        raise ValueError("a whole number, 1 or more")
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?", text):
        raise ValueError("a number")
    return float(text)


def _interval(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(_number, text.split(",")))
    except ValueError as error:
        raise ValueError("two numbers, low,high") from error


def _format(text: str) -> str:
    if f".{text}" not in TYPES:
        raise ValueError(f"one of {', '.join(suffix[1:] for suffix in TYPES)}")
    return f".{text}"


def _job(text: str) -> str:
    if not re.fullmatch(JOB_NAME, text):
        raise ValueError("1 to 64 letters, digits, - and _")
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "seed": _whole,
    "start": _number,
    "duration": _number,
    "quality": str,
    "steps": _count,
    "guidance": _number,
    "guidance_interval": _interval,
    "solver": str,
    "format": _format,
    "job": _job,
}


def _accepted(accept: str) -> str | None:
    """The suffix of the first of the types that a client likes best."""
    ranges = [_weighed(part) for part in (accept.strip() or "*/*").split(",")]
    for kind, weight in sorted(ranges, key=lambda found: -found[1]):
        if weight > 0 and kind in _SUFFIXES:
            return _SUFFIXES[kind]
    raise HTTPException(406, f"there are {', '.join(TYPES.values())}")


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    return kind, float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0
