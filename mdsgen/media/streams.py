"""What is in a file, stream by stream."""

from __future__ import annotations

import os
from typing import Any

from mdsgen.media.container import open_input


def streams_of(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Kind and codec of every stream of a file as plain JSON values; of sound rate and channels, of pictures the size.

    Raises :class:`~mdsgen.errors.MediaError` where it cannot be read.
    """
    with open_input(path) as container:
        return [_described(stream) for stream in container.streams]


def _described(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    found = {"kind": stream.type, "codec": context.name if context is not None else None}
    if stream.type == "audio":
        return {**found, "sample_rate": context.sample_rate, "channels": context.channels}
    if stream.type == "video":
        return {**found, "width": context.width, "height": context.height}
    return found
