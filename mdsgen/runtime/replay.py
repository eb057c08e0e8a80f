"""The same work on a device's stream again and again: first in stream order, from then on as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING

from mdsgen.engines import warn_once
from mdsgen.errors import MdsgenError
from mdsgen.runtime.window_generator import Timings

if TYPE_CHECKING:
    from mdsgen.engines.capture import CapturedGraph
    from mdsgen.engines.cuda import Device, Event, Pinned

GRAPH = "cuda graph"
"""The stage's name in the timings where all stages are one launch."""

Mark = Callable[[str], None]
"""Called with a stage's name once all of it is on the stream."""


class Replay:
    """``enqueue`` puts all work on the stream, the download of ``result`` at its end, and marks its stages.

    ``connect`` comes before it, outside of a capture, whenever it is called. Without ``graph`` nothing is captured.
    ``shapes`` says how often inputs of the networks have changed their shape: a graph from before is dropped, and the
    next call captures another one.
    """

    def __init__(
        self,
        device: Device,
        connect: Callable[[], None],
        enqueue: Callable[[Mark], None],
        result: Pinned,
        graph: bool = True,
        shapes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._device, self._connect, self._enqueue, self._result = device, connect, enqueue, result
        self._graph: CapturedGraph | None = None
        self._shapes, self._captured_shapes = shapes, 0
        self._decided = not graph  # whether to replay or to go on in stream order

    @property
    def replays(self) -> bool:
        """Whether a call is one launch of a graph; known after the first call."""
        return self._graph is not None

    def __call__(self, timings: Timings | None = None) -> None:
        """Do it all, until the result is on the host.

        The first call runs in stream order, which also warms everything up, then captures the same and compares.
        """
        if self._graph is not None and self._shapes() != self._captured_shapes:
            self._drop()
            self._decided = False
        if self._graph is not None:
            with timings.stage(GRAPH) if timings is not None else nullcontext():
                self.launch()
                self._device.synchronize()
            return
        self.in_stream_order(timings)
        if not self._decided:
            self._captured_shapes = self._shapes()
            self._graph = self._captured()
            self._decided = True

    def launch(self) -> None:
        """Put the graph on the stream and come back at once."""
        assert self._graph is not None  # whoever asks knows that it replays
        self._graph.launch()

    def in_stream_order(self, timings: Timings | None = None) -> None:
        """Do it all call by call, timed by events on the stream where anybody asks."""
        self._connect()  # each time: whoever ran a network by itself has changed its addresses
        if timings is None:
            self._enqueue(lambda stage: None)
            self._device.synchronize()
            return
        marks: list[tuple[str, Event]] = [("", self._device.event())]
        self._enqueue(lambda stage: marks.append((stage, self._device.event())))
        self._device.synchronize()
        for (_, earlier), (stage, event) in pairwise(marks):
            timings.seconds[stage] = timings.seconds.get(stage, 0.0) + event.seconds_since(earlier)

    def close(self) -> None:
        """Let the graph go. Closing twice is harmless."""
        self._decided = True
        self._drop()

    def _drop(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.free()

    def _captured(self) -> CapturedGraph | None:
        """The work as a graph, if it gives the result again to the last bit; otherwise None, with the reason said."""
        expected = self._result.array.tobytes()
        try:
            graph = self._device.capture(lambda: self._enqueue(lambda stage: None))
        except MdsgenError as error:
            warn_once(f"the clip is not one CUDA graph, and goes on in stream order: {error}")
            return None
        try:
            graph.launch()
            self._device.synchronize()
        except BaseException:
            graph.free()
            raise
        if self._result.array.tobytes() != expected:
            graph.free()
            warn_once("the clip is not one CUDA graph, and goes on in stream order: replayed it sounds different")
            return None
        return graph
