"""Sound for pictures that never end: pushed as they come, pulled in blocks without gaps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from types import TracebackType

import numpy as np

from mdsgen.engines import warn_once
from mdsgen.errors import EngineError, SettingsError
from mdsgen.geometry import SAMPLE_RATE, Geometry
from mdsgen.media import Scaler, check_picture
from mdsgen.runtime.live_options import LiveOptions
from mdsgen.runtime.pace import Effort, SourceClock, effort
from mdsgen.runtime.soundtrack import Soundtrack
from mdsgen.runtime.stamps import Stamps
from mdsgen.runtime.views import Views, last_frame
from mdsgen.runtime.window_generator import Generator, Timings
from mdsgen.runtime.windows import Window, WindowPlan
from mdsgen.values import is_finite

Turns = Callable[[], AbstractContextManager[None]]
"""Within what this gives, the engines are this thread's."""


@dataclass(frozen=True)
class Statistics:
    """What has happened so far: pictures taken, left out since they were late or doubled, and clocks that leapt;
    blocks in all, those with fewer evaluations and those left silent; seconds of computing, and of the longest block
    among the last ones."""

    pictures: int = 0
    doubled: int = 0
    leaps: int = 0
    blocks: int = 0
    fewer: int = 0
    silent: int = 0
    computing: float = 0.0
    longest: float = 0.0


class Live:
    """The sound of a live source; :meth:`Pipeline.live <mdsgen.Pipeline.live>` gives one. A context manager.

    :meth:`push` takes a picture and gives the blocks that are ready, in the same thread. Or one thread pushes and
    ends, without looking at what that gives, and another pulls. Blocks are float32 ``[samples]`` at 16 kHz, without
    gaps: sample 0 belongs to the first picture. Where computing falls behind, work is dropped and not samples.
    ``options`` are those that were asked for, with block and lookahead rounded up to whole columns. A picture that is
    refused is left out, and nothing else changes; a block that cannot be computed closes it.
    """

    def __init__(
        self,
        geometry: Geometry,
        generator: Generator,
        fewer: Generator | None,
        options: LiveOptions,
        turn: Turns,
    ) -> None:
        self._plan = options.plan(geometry)
        self.options = options = options.rounded(geometry)
        self._track = Soundtrack(geometry, generator, options.seed, self._plan)
        self._fewer, self._turn = fewer, turn
        self._views, self._scaler = Views(geometry, iter(self._plan)), Scaler(geometry.frame_size)
        self._stamps, self._clock = Stamps(options.frame_rate), SourceClock()
        self._changed = threading.Condition()  # guards views, stamps and statistics
        self._computing = threading.Lock()  # one block after the other
        self._statistics, self._recent = Statistics(), deque[float](maxlen=16)
        self._seen = 0.0  # seconds up to which something is known of the pictures
        self._end: int | None = None  # samples
        self._finished = self._closed = False

    # In

    def push(self, picture: np.ndarray, time: float | None = None) -> Iterator[np.ndarray]:
        """Take a picture, uint8 ``[H, W, 3]`` RGB of any size, and give the blocks that are ready, computed as they are
        asked for.

        ``time`` is in seconds on any clock; None is an even ``frame_rate``. Raises
        :class:`~mdsgen.errors.TensorError` for what is no picture, and :class:`~mdsgen.errors.SettingsError` for what
        is no time: the next picture may be a good one. Raises :class:`~mdsgen.errors.EngineError` after :meth:`end`.
        """
        check_picture(picture)
        with self._changed:
            self._check_open()
            if self._end is not None:
                raise EngineError("this live sound has been ended: no picture can follow")
            placed = self._stamps.place(time)
            if placed is not None:
                scaled = self._scaler.of_array(picture).copy()  # the camera may use its array again
                self._views.push(placed * SAMPLE_RATE, lambda: scaled)
                self._seen = max(self._seen, float(placed))
                self._clock.arrived(float(placed))
                self._count(pictures=1)
                self._shed()
                self._changed.notify_all()
        return self._ready_blocks()

    def end(self, lasts: float | None = None) -> None:
        """No picture comes any more: the last one stays for ``lasts`` seconds, None as long as at ``frame_rate``."""
        if lasts is not None and not (is_finite(lasts) and lasts > 0):
            raise SettingsError(f"lasts must be a positive number of seconds, not {lasts!r:.80}")
        stays = self._stamps.interval if lasts is None else Fraction(float(lasts))
        with self._changed:
            if self._end is None and not self._closed:
                last = self._stamps.last
                self._end = 0 if last is None else round((last + stays) * SAMPLE_RATE)
                if self._end:
                    self._views.finish(self._end)
                self._finished = not self._end
                self._changed.notify_all()

    # Out

    def pull(self) -> Iterator[np.ndarray]:
        """Blocks as they become ready, until all is out after :meth:`end`, or it is closed.

        Where no pictures come, the last one is taken to stand still, and sound goes on.
        """
        while True:
            with self._changed:
                while not self._closed and not self._finished and self._views.ready() is None:
                    self._changed.wait(self.options.block / 4)
                    self._go_on_without_pictures()
                if self._closed or self._finished:
                    return
            yield from self._ready_blocks()

    def finish(self, lasts: float | None = None) -> np.ndarray:
        """:meth:`end`, and what has not been given out yet, ``[samples]``."""
        self._check_open()
        self.end(lasts)
        return np.concatenate([np.zeros(0, np.float32), *self._ready_blocks()])

    @property
    def frame_size(self) -> int:
        """Height and width of the pictures that the model looks at: larger ones cost time and change nothing."""
        return self._plan.geometry.frame_size

    @property
    def latency(self) -> float:
        """Seconds from a picture to its sound at most, while computing keeps up: waiting for what the block has to see,
        and computing it, as long as the longest of the last blocks took."""
        return waiting(self._plan, self._track.fade) + float(self._stamps.interval) + self.statistics.longest

    @property
    def statistics(self) -> Statistics:
        """What has happened so far."""
        with self._changed:
            stamps = self._stamps
            return replace(self._statistics, doubled=stamps.doubled, leaps=stamps.leaps)

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

    def close(self) -> None:
        """Take nothing any more, and end every :meth:`pull`. Closing twice is harmless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Between

    def _ready_blocks(self) -> Iterator[np.ndarray]:
        while True:
            with self._computing:
                block = self._next_block()
            if block is None:
                return
            yield block

    def _next_block(self) -> np.ndarray | None:
        with self._changed:
            window = None if self._closed or self._finished else self._views.ready()
            if window is None:
                return None
            behind = self._seen - self._views.needed_until / SAMPLE_RATE
            chosen = self._effort(behind)
            last = self._end is not None and window.end * self._plan.geometry.column_samples >= self._end
            if last and self._end is not None:
                total = -(-self._end // self._plan.geometry.column_samples)
                window = replace(window, until=total, end=total)
            frames = None if chosen is Effort.SILENT else self._views.take()
            if frames is None:
                self._views.skip()
        try:
            block = self._compute(window, frames, chosen, self._end if last else None)
        except BaseException:
            self.close()
            raise
        with self._changed:
            self._finished = last
            self._changed.notify_all()
        clipped: np.ndarray = np.clip(block, -1.0, 1.0)
        return clipped

    def _compute(self, window: Window, frames: np.ndarray | None, chosen: Effort, end: int | None) -> np.ndarray:
        started = time.perf_counter()
        if frames is None:
            block = self._track.add_silence(window, end)
        else:
            with self._turn():
                generator = self._fewer if chosen is Effort.FEWER else None
                block = self._track.add(window, frames, Timings(), end=end, generator=generator)
        spent = time.perf_counter() - started
        with self._changed:
            if frames is not None:
                self._recent.append(spent)
            self._count(blocks=1, fewer=chosen is Effort.FEWER, silent=chosen is Effort.SILENT, computing=spent)
            self._statistics = replace(self._statistics, longest=max(self._recent, default=0.0))
        return block

    def _effort(self, behind: float) -> Effort:
        """What there is time for. At the end nobody waits for the next picture, and everything is computed."""
        if self._end is not None:
            return Effort.FULL
        chosen = effort(behind, self.options.block, float(self._stamps.interval))
        if chosen is Effort.FEWER and self._fewer is None:
            chosen = Effort.FULL
        if chosen is not Effort.FULL:
            warn_once("live sound falls behind its pictures: some blocks get fewer evaluations, or silence")
        return chosen

    def _count(self, **more: float) -> None:
        now = self._statistics
        self._statistics = replace(now, **{name: getattr(now, name) + value for name, value in more.items()})

    def _shed(self) -> None:
        """Keep no pictures for windows that will be silent, should nobody pull."""
        self._views.forget(before=self._seen - 4 * self.options.block - float(self._stamps.interval))

    def _go_on_without_pictures(self) -> None:
        now = self._clock.now
        if now is None or self._end is not None or self._views.ready() is not None:
            return
        if now > self._views.needed_until / SAMPLE_RATE + self.options.block / 2:
            self._views.advance(round(now * SAMPLE_RATE))
            self._seen = max(self._seen, now)
            self._stamps.stand(now)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("this live sound is closed")


def waiting(plan: WindowPlan, fade: int) -> float:
    """Seconds from the first sample that a window makes final to the last frame that it has to see, at most."""
    geometry, longest = plan.geometry, Fraction(0)
    for window in islice(plan, 2 * geometry.time_columns):
        final = max(0, window.given * geometry.column_samples - fade)
        longest = max(longest, last_frame(geometry, window) - final)
    return float(longest / SAMPLE_RATE)
