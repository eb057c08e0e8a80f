"""The frames that one window of a video sees, out of a stream of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, repeat

import numpy as np

from mdsgen.errors import MediaError


class FrameWindow:
    """The frames that the current window sees, in one buffer; of the stream nothing else is kept.

    New arrays for every window would leave holes in the heap: a minute then takes a quarter more memory than a window.
    """

    def __init__(self, length: int, frames: Iterable[np.ndarray]) -> None:
        self._source = _endless(frames)
        self._length = length
        self._frames: np.ndarray | None = None  # made when the first frame says what frames are like
        self._end = 0  # of what has been read

    def advance(self, first: int) -> np.ndarray:
        """Frames ``first`` to ``first + length``, ``[length, 224, 224, 3]``, valid until the next call.

        ``first`` never goes back. Past the end of the stream the last frame is repeated. Raises :class:`MediaError`
        where there is none at all.
        """
        length, window = self._length, self._frames
        skipped, kept = max(0, first - self._end), max(0, self._end - first)
        if window is not None:
            window[:kept] = window[length - kept :]
        for position, frame in enumerate(islice(self._source, skipped, skipped + length - kept), kept):
            if window is None:
                window = self._frames = np.empty((length, *frame.shape), frame.dtype)
            window[position] = frame
        self._end = first + length
        assert window is not None  # the source is endless
        return window


def _endless(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, then the last one for ever."""
    last = None
    for last in frames:
        yield last
    if last is None:
        raise MediaError("the video has no picture in the chosen part")
    yield from repeat(last)
