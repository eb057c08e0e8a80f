"""GStreamer's element: the sound of live pictures, at the times of the pictures, whatever the pipeline does."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import EngineError
from mdsgen.geometry import SAMPLE_RATE
from tests.integrations.feeding import Feed, cycle, resident_megabytes

SIZE = (48, 37)  # a row of 111 bytes, which GStreamer pads
RATE = 10
CAPS = f"video/x-raw,format=RGB,width={SIZE[0]},height={SIZE[1]},framerate={RATE}/1"
CAMERA = f"videotestsrc is-live=true ! {CAPS}"


@pytest.fixture(scope="module")
def reference(bundle_path: Path) -> Iterator[Pipeline]:
    """The engines that the element has."""
    with Pipeline.open(bundle_path, "onnxruntime", threads=1) as opened:
        yield opened


def pictures(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


def live_sound(pipeline: Pipeline, shown: list[tuple[float, np.ndarray]], **settings: Any) -> np.ndarray:
    """What ``Pipeline.live`` makes of pictures in one thread."""
    with pipeline.live(frame_rate=RATE, steps=2, **settings) as live:
        blocks = [block for time, picture in shown for block in live.push(picture, time)]
        return np.concatenate([*blocks, live.finish()])


def ending(buffer: tuple[int, np.ndarray]) -> int:
    """The time at which a buffer ends, in nanoseconds."""
    return buffer[0] + round(len(buffer[1]) * 1e9 / SAMPLE_RATE)


def joined(buffers: list[tuple[int, np.ndarray]]) -> np.ndarray:
    return np.concatenate([samples for _, samples in buffers])


def test_the_sound_is_that_of_live_pictures_and_lies_at_their_times(feed: Feed, reference: Pipeline) -> None:
    shown = [(7 + index / RATE, picture) for index, picture in enumerate(pictures(15))]
    feed.start("seed=3 block=0.3 lookahead=0.1").caps(*SIZE, RATE)
    for when, picture in shown:
        feed.push(picture, when)
    feed.end()
    buffers = feed.sound()
    assert len(buffers) > 2
    np.testing.assert_array_equal(joined(buffers), live_sound(reference, shown, seed=3, block=0.3, lookahead=0.1))
    samples = np.cumsum([0] + [len(sound) for _, sound in buffers])
    assert samples[-1] == 1.5 * SAMPLE_RATE
    assert [time for time, _ in buffers] == [round(7e9 + sample * 1e9 / SAMPLE_RATE) for sample in samples[:-1]]


def test_size_and_rate_may_change(feed: Feed) -> None:
    feed.start()
    for index, (size, rate) in enumerate([((48, 37), 10), ((64, 48), 20), ((30, 30), 5)]):
        feed.caps(*size, rate)
        for number, picture in enumerate(pictures(rate, size)):
            feed.push(picture, index + number / rate)
    feed.end()
    assert len(joined(feed.sound())) == pytest.approx(3 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)


def test_after_a_seek_sound_begins_anew_at_its_place(feed: Feed) -> None:
    gst = feed.gst
    feed.start(source=f"videotestsrc ! {CAPS}", state="PAUSED").settle()
    flags = gst.SeekFlags.FLUSH | gst.SeekFlags.ACCURATE
    part = (gst.SeekType.SET, 8 * gst.SECOND, gst.SeekType.SET, 9 * gst.SECOND)
    assert feed.pipeline.seek(1.0, gst.Format.TIME, flags, *part)
    feed.pipeline.set_state(gst.State.PLAYING)
    buffers = feed.sound()
    assert buffers[0][0] == 8 * gst.SECOND
    assert len(joined(buffers)) == SAMPLE_RATE


def test_sound_is_not_played_backwards(feed: Feed) -> None:
    gst = feed.gst
    feed.start(source=f"videotestsrc num-buffers=30 ! {CAPS}", state="PAUSED").settle()
    backwards = (-1.0, gst.Format.TIME, gst.SeekFlags.FLUSH, gst.SeekType.SET, 0, gst.SeekType.SET, 2 * gst.SECOND)
    assert not feed.pipeline.seek(*backwards)


def test_a_camera_is_told_the_latency_that_its_sound_has(feed: Feed, reference: Pipeline) -> None:
    feed.start("block=0.256 lookahead=0.128", source=CAMERA).settle()
    first = feed.next()
    assert first is not None
    query = feed.gst.Query.new_latency()
    assert feed["mdsgen"].get_static_pad("src").query(query)
    is_live, least, _ = query.parse_latency()
    with reference.live(frame_rate=RATE, block=0.256, lookahead=0.128) as live:
        assert is_live
        assert least / feed.gst.SECOND >= live.latency + live.options.block


def test_a_camera_that_has_been_paused_goes_on_in_time(feed: Feed) -> None:
    feed.start("block=0.128 lookahead=0", source=CAMERA).settle()
    before = feed.next()
    feed.pipeline.set_state(feed.gst.State.PAUSED)
    feed.settle()
    time.sleep(0.5)
    feed.pipeline.set_state(feed.gst.State.PLAYING)
    after = feed.next()
    while before is not None and after is not None and after[0] == ending(before):
        before, after = after, feed.next()
    assert before is not None
    assert after is not None
    assert ending(before) < after[0] <= feed.running_time()


def test_starting_and_stopping_leaves_memory_as_it_was(feed: Feed) -> None:
    """A leak would grow in every round; what other threads of this process take or give back does not."""
    cycle(feed, times=3)
    grown = []
    for _ in range(3):
        before = resident_megabytes()
        cycle(feed, times=6)
        grown.append(resident_megabytes() - before)
        if grown[-1] < 4:
            break
    assert min(grown) < 4


def test_a_stopped_element_leaves_nothing_behind(feed: Feed) -> None:
    gone: list[bool] = []
    for _ in range(3):
        feed.start("block=0.256 lookahead=0", source=CAMERA).settle()
        assert feed.next() is not None
        feed["mdsgen"].weak_ref(gone.append, True)
        feed.stop()
    gc.collect()
    assert gone == [True] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "mdsgen"]


def test_what_cannot_be_opened_is_an_error_of_one_line(feed: Feed, tmp_path: Path) -> None:
    feed.start(f"bundle={tmp_path}")
    assert feed.error().startswith(f"{tmp_path}: expected a bundle")


def test_impossible_settings_are_an_error_of_one_line(feed: Feed) -> None:
    feed.start("block=1 lookahead=8")
    assert "longer than the model's window" in feed.error()


@pytest.mark.parametrize("source", ["appsrc name=in format=time", CAMERA])
def test_an_engine_that_fails_is_an_error_of_one_line(feed: Feed, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(latent: np.ndarray) -> np.ndarray:
        raise EngineError("out of memory")

    feed.start("block=0.128 lookahead=0", source, state="PAUSED")
    monkeypatch.setattr(feed["mdsgen"]._pipeline._networks, "decode", fail)
    feed.pipeline.set_state(feed.gst.State.PLAYING)
    if source != CAMERA:
        feed.caps(*SIZE, RATE)
        for index, picture in enumerate(pictures(4)):
            feed.push(picture, index / RATE)
    assert feed.error() == "out of memory"


def test_pictures_without_times_are_an_error_of_one_line(feed: Feed) -> None:
    feed.start().caps(*SIZE, RATE)
    feed.push(pictures(1)[0], None)
    assert feed.error() == "mdsgen needs pictures that have times: one came without"
