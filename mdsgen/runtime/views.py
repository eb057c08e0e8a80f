"""The pictures that each window sees, chosen from a stream by their times.

A window's frames come at the geometry's rate, counted from its own beginning: frame ``j`` is the picture that is on the
screen ``(j + 1/2) / frame_rate`` seconds after it. Windows begin with columns. Where a column has a whole number of
pictures, all windows see the same ones, each column its own; elsewhere each window sees pictures of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE, Geometry
from mdsgen.runtime.windows import Window

Shown = Callable[[], np.ndarray]
"""Gives a picture, uint8 ``[size, size, 3]``; asked only where some window sees it."""

Pictures = Iterator[tuple[Fraction, Shown]]
"""Pictures in order, each with the seconds at which it appears."""


def first_frame(geometry: Geometry, window: Window) -> Fraction:
    """The sample at which a window sees its first frame."""
    return window.start * geometry.column_samples + geometry.samples_per_frame / 2


def frames_needed(geometry: Geometry, window: Window) -> int:
    """How many frames lie before the end of what the window imagines: behind that it may see anything.

    A window that looks ahead lacks those of the columns by which it is shorter than a whole one, whose last frame may
    lie some way before its end. What does not look ahead sees all.
    """
    column = geometry.column_samples / geometry.samples_per_frame  # in frames
    columns = window.end - window.start
    if window.end > window.until:
        seen = geometry.video_frames - ceil((geometry.time_columns - columns) * column)
    else:
        seen = ceil(columns * column - Fraction(1, 2))
    return max(1, min(geometry.video_frames, seen))


def last_frame(geometry: Geometry, window: Window) -> Fraction:
    """The sample at which it sees the last one of these."""
    return first_frame(geometry, window) + (frames_needed(geometry, window) - 1) * geometry.samples_per_frame


@dataclass
class _View:
    window: Window
    first: Fraction  # sample at which the first frame is seen
    needed: int
    frames: list[int] = field(default_factory=list)  # places in the album


class _Album:
    """Pictures that several windows see, each kept until the last one lets go of it.

    Its arrays are used again and again: new ones for every picture would leave holes in the heap.
    """

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []
        self._holders: list[int] = []
        self._free: list[int] = []

    def put(self, picture: np.ndarray) -> int:
        """Keep a copy; the place where it lies is held once."""
        if not self._free:
            self._free.append(len(self.pictures))
            self.pictures.append(np.empty_like(picture))
            self._holders.append(0)
        place = self._free.pop()
        self.pictures[place][...] = picture
        return self.hold(place)

    def hold(self, place: int) -> int:
        self._holders[place] += 1
        return place

    def release(self, places: Iterable[int]) -> None:
        for place in places:
            self._holders[place] -= 1
            if not self._holders[place]:
                self._free.append(place)


class Views:
    """Takes the pictures of a stream in order and gives every window its frames, in the order of the windows."""

    def __init__(self, geometry: Geometry, windows: Iterator[Window]) -> None:
        self._geometry, self._windows = geometry, windows
        self._step = geometry.samples_per_frame
        self._open: deque[_View] = deque()
        self._next = self._make_view()
        self._shown: Shown | None = None
        self._album, self._place = _Album(), list[int]()  # of the picture that is shown, once somebody sees it
        self._end: int | None = None  # the film's, in samples
        self._stacked: np.ndarray | None = None

    def push(self, position: int | Fraction, shown: Shown) -> None:
        """From sample ``position`` on, which never goes back, this picture is on the screen."""
        if self._shown is None:
            self._shown = shown
            self.advance(position)
        else:
            self.advance(position)
            self._show(shown)

    def advance(self, position: int | Fraction) -> None:
        """Up to sample ``position`` the last picture has been on the screen."""
        if self._end is None and self._shown is not None:
            self._fill(position)

    def finish(self, samples: int) -> None:
        """There is nothing to be seen after so many samples: windows that reach beyond see their last frame again."""
        self.advance(max(Fraction(samples), self._step / 2))
        self._end = samples

    def ready(self) -> Window | None:
        """The next window, where all of its frames are there."""
        while not self._open and self._end is not None and self._next is not None:
            self._open_next()
        if not self._open:
            return None
        view = self._open[0]
        whole = len(view.frames) >= view.needed or self._end is not None
        return view.window if whole else None

    def take(self) -> np.ndarray:
        """The frames of the window that is :meth:`ready`, ``[F, size, size, 3]``, valid until the next call.

        Raises :class:`MediaError` where there was no picture at all.
        """
        view = self._open.popleft()
        if not view.frames:
            view.frames.append(self._see())
        album = self._album.pictures
        if self._stacked is None:
            self._stacked = np.empty((self._geometry.video_frames, *album[0].shape), album[0].dtype)
        for position in range(len(self._stacked)):
            self._stacked[position] = album[view.frames[min(position, len(view.frames) - 1)]]
        self._album.release(view.frames)
        return self._stacked

    def of_film(self, pictures: Pictures, samples: int) -> np.ndarray:
        """:meth:`take`, after reading as much of a film of so many samples as the next window needs."""
        limit = max(Fraction(samples), self._step / 2)
        while self.ready() is None:
            time, shown = next(pictures, (None, None))
            if time is None or shown is None or time * SAMPLE_RATE >= limit:
                if self._shown is None and shown is not None:  # the only picture is a late one
                    self._show(shown)
                self.finish(samples)
            else:
                self.push(time * SAMPLE_RATE, shown)
        return self.take()

    def skip(self) -> None:
        """Leave out the window that is ready."""
        self._album.release(self._open.popleft().frames)

    def forget(self, before: float) -> None:
        """Keep only the last picture of windows that should have been taken when ``before`` seconds had passed."""
        for view in self._open:
            if last_frame(self._geometry, view.window) >= before * SAMPLE_RATE:
                return
            kept = [self._album.hold(view.frames[-1]) for _ in view.frames]
            self._album.release(view.frames)
            view.frames[:] = kept

    @property
    def needed_until(self) -> Fraction | int:
        """The sample that the next window has to have seen."""
        view = self._open[0] if self._open else self._next
        if view is None:
            return 0
        return last_frame(self._geometry, view.window)

    @property
    def waiting(self) -> int:
        """How many windows have begun to see."""
        return len(self._open)

    def _make_view(self) -> _View | None:
        window = next(self._windows, None)
        if window is None:
            return None
        return _View(window, first_frame(self._geometry, window), frames_needed(self._geometry, window))

    def _open_next(self) -> None:
        assert self._next is not None
        self._open.append(self._next)
        self._next = self._make_view()

    def _show(self, shown: Shown) -> None:
        self._album.release(self._place)
        self._shown, self._place = shown, []

    def _see(self) -> int:
        """Where the picture lies that is shown, held once more. It is converted when the first window sees it."""
        if self._shown is None:
            raise MediaError("the video has no picture in the chosen part")
        if not self._place:
            self._place.append(self._album.put(self._shown()))
        return self._album.hold(self._place[0])

    def _fill(self, position: int | Fraction) -> None:
        while self._next is not None and self._next.first <= position:
            self._open_next()
        for view in self._open:
            while len(view.frames) < view.needed and view.first + len(view.frames) * self._step <= position:
                view.frames.append(self._see())
