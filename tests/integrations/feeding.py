"""GStreamer's element with a test on either side: it pushes pictures, and looks at what comes out."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

LIMIT = 20
"""Seconds in which something has to come."""


class Feed:
    """Runs ``source ! mdsgen ! appsink``; ``source`` is an appsrc unless :meth:`start` takes another."""

    def __init__(self, gst: Any, bundle: str | os.PathLike[str]) -> None:
        self.gst, self._bundle = gst, Path(bundle)
        self.pipeline: Any = None

    def start(self, settings: str = "", source: str = "appsrc name=in format=time", state: str = "PLAYING") -> Feed:
        """Open the pipeline; ``settings`` are the element's. Pictures are small, and steps few."""
        element = f"mdsgen name=mdsgen bundle={self._bundle} engine=onnxruntime threads=1 steps=2 {settings}"
        self.pipeline = self.gst.parse_launch(f"{source} ! {element} ! appsink name=out sync=false")
        self.pipeline.set_state(getattr(self.gst.State, state))
        return self

    def settle(self) -> None:
        """Wait until the pipeline is in the state that it was set to."""
        self.pipeline.get_state(LIMIT * self.gst.SECOND)

    def running_time(self) -> int:
        """Nanoseconds for which the pipeline has played."""
        passed: int = self.pipeline.get_clock().get_time() - self.pipeline.get_base_time()
        return passed

    def caps(self, width: int, height: int, rate: int) -> None:
        """From here on pictures are of that size, and come that fast."""
        text = f"video/x-raw,format=RGB,width={width},height={height},framerate={rate}/1"
        self["in"].set_property("caps", self.gst.Caps.from_string(text))

    def push(self, picture: np.ndarray, seconds: float | None) -> None:
        """Push a picture, uint8 [H, W, 3], rows padded as GStreamer will have it."""
        row = 3 * picture.shape[1]
        rows = np.pad(picture.reshape(len(picture), row), ((0, 0), (0, -row % 4)))
        buffer = self.gst.Buffer.new_wrapped(rows.tobytes())
        if seconds is not None:
            buffer.pts = round(seconds * self.gst.SECOND)
        self["in"].emit("push-buffer", buffer)

    def end(self) -> None:
        """No picture comes any more."""
        self["in"].emit("end-of-stream")

    def sound(self) -> list[tuple[int, np.ndarray]]:
        """Every buffer until the end: its time in nanoseconds, and its samples."""
        return list(iter(self.next, None))

    def next(self) -> tuple[int, np.ndarray] | None:
        """The next buffer; None at the end, or after :data:`LIMIT`."""
        sample = self["out"].emit("try-pull-sample", LIMIT * self.gst.SECOND)
        if sample is None:
            return None
        buffer = sample.get_buffer()
        return buffer.pts, np.frombuffer(buffer.extract_dup(0, buffer.get_size()), "<f4")

    def error(self) -> str:
        """The message of the first error."""
        message = self.message("ERROR")
        line: str = message.parse_error()[0].message
        return line

    def message(self, kind: str) -> Any:
        """The first message of a kind."""
        bus, wanted = self.pipeline.get_bus(), getattr(self.gst.MessageType, kind)
        message = bus.timed_pop_filtered(LIMIT * self.gst.SECOND, wanted)
        assert message is not None, f"no message {kind}"
        return message

    def stop(self) -> None:
        """Close the pipeline."""
        if self.pipeline is not None:
            self.pipeline.set_state(self.gst.State.NULL)
        self.pipeline = None

    def __getitem__(self, name: str) -> Any:
        return self.pipeline.get_by_name(name)

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def cycle(feed: Feed, times: int) -> None:
    """Open a pipeline, hear its first block, and close it, so many times."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for _ in range(times):
        feed.start("block=0.128 lookahead=0").caps(64, 48, 10)
        for index in range(4):
            feed.push(picture, index / 10)
        assert feed.next() is not None
        feed.stop()


def resident_megabytes() -> float:
    """What the process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
