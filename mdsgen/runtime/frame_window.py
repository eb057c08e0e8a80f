"""The frames that one window of a video sees, out of a stream of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, repeat

import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import FRAME_SIZE


class FrameWindow:
    """The frames that the current window sees, in one buffer; of the stream nothing else is kept.

    New arrays for every window would leave holes in the heap: a minute then takes a quarter more memory than a window.
    """

    def __init__(self, length: int, frames: Iterable[np.ndarray]) -> None:
        self._source = _endless(frames)
        self._frames = np.empty((length, 3, FRAME_SIZE, FRAME_SIZE), np.float32)
        self._end = 0  # of what has been read

    def advance(self, first: int) -> np.ndarray:
        """Frames ``first`` to ``first + length``, ``[length, 3, 224, 224]``, valid until the next call.

        ``first`` never goes back. Past the end of the stream the last frame is repeated. Raises :class:`MediaError`
        where there is none at all.
        """
        length = len(self._frames)
        skipped, kept = max(0, first - self._end), max(0, self._end - first)
        self._frames[:kept] = self._frames[length - kept :]
        for position, frame in enumerate(islice(self._source, skipped, skipped + length - kept), kept):
            self._frames[position] = frame
        self._end = first + length
        return self._frames


def _endless(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, then the last one for ever."""
    last = None
    for last in frames:
        yield last
    if last is None:
        raise MediaError("the video has no picture in the chosen part")
    yield from repeat(last)
