"""The container that a result gets where nobody names one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdsgen.errors import MediaError
from mdsgen.media.container import open_input, picture_stream
from mdsgen.media.formats import FORMATS, film_suffixes
from mdsgen.media.output import Output
from mdsgen.media.stream_copy import holds, loses_alpha


def choose_suffix(source: Path, output: Output) -> tuple[str, str | None]:
    """The suffix of the result of ``source``, and a line that says why where it is not ``.mp4``.

    It is the one that ``output`` names, else the first of MP4, the source's own container, Matroska and QuickTime that
    holds the pictures, and the original sound where that is kept. A source that cannot be read gets ``.mp4``: whoever
    reads it says what is wrong with it.
    """
    if output.format is not None:
        return output.format, None
    first, *others = film_suffixes(source)
    try:
        with open_input(source) as container:
            streams = [picture_stream(container), *(container.streams.audio if output.keep_original else [])]
            if streams[0] is None or _takes(first, streams):
                return first, None
            chosen = next((suffix for suffix in others if _takes(suffix, streams)), None)
            if chosen is None:
                return first, None
            refused = next(stream for stream in streams if not _takes(first, [stream]))
            return chosen, f"a {chosen} file, since {first} cannot hold the {_what(refused)} of {source}"
    except MediaError:
        return first, None


def film_suffix(source: Path) -> str | None:
    """The first of those suffixes whose file holds the pictures of ``source``; None where there is none."""
    with open_input(source) as container:
        pictures = picture_stream(container)
        return next((suffix for suffix in film_suffixes(source) if _takes(suffix, [pictures])), None)


def _takes(suffix: str, streams: list[Any]) -> bool:
    kind = FORMATS[suffix]
    return all(holds(kind, stream) and not loses_alpha(kind, stream) for stream in streams)


def _what(stream: Any) -> str:
    name = stream.codec_context.name if stream.codec_context else "unknown"
    if stream.metadata.get("alpha_mode") == "1":
        return f"transparent {name} pictures"
    return f"{name} pictures" if stream.type == "video" else f"{name} sound"
