"""One pipeline, shared: by threads, by coroutines, by a stream beside another; and what a forked process may do."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import Cancelled, EngineError
from mdsgen.runtime import Progress
from tests.children import finished

FRAMES = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)  # two windows
WAIT = 60.0


@pytest.fixture(scope="module")
def alone(pipeline: Pipeline) -> list[np.ndarray]:
    """What each seed sounds like when nobody else asks."""
    return [pipeline(FRAMES, seed=seed).audio for seed in range(4)]


@pytest.fixture
def _restless() -> Iterator[None]:
    """Threads take over from each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless")
def test_threads_get_what_each_would_get_alone(pipeline: Pipeline, alone: list[np.ndarray]) -> None:
    with ThreadPoolExecutor(4) as pool:
        sounds = list(pool.map(lambda seed: pipeline(FRAMES, seed=seed).audio, [0, 1, 2, 3] * 3, timeout=WAIT))
    for seed, sound in zip([0, 1, 2, 3] * 3, sounds, strict=True):
        np.testing.assert_array_equal(sound, alone[seed])


def test_coroutines_get_what_each_would_get_alone(pipeline: Pipeline, alone: list[np.ndarray]) -> None:
    async def all_of_them() -> list[np.ndarray]:
        calls = [asyncio.to_thread(lambda seed=seed: pipeline(FRAMES, seed=seed).audio) for seed in range(4)]
        return await asyncio.wait_for(asyncio.gather(*calls), WAIT)

    for sound, expected in zip(asyncio.run(all_of_them()), alone, strict=True):
        np.testing.assert_array_equal(sound, expected)


def test_a_stream_that_nobody_reads_on_keeps_nobody_waiting(pipeline: Pipeline, alone: list[np.ndarray]) -> None:
    stream = pipeline.stream(FRAMES, seed=0)
    first = next(stream)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: pipeline(FRAMES, seed=1).audio).result(WAIT)
    np.testing.assert_array_equal(other, alone[1])
    np.testing.assert_array_equal(np.concatenate([first, *stream]), alone[0])


def test_a_progress_callback_that_asks_its_own_pipeline_is_refused(pipeline: Pipeline, alone: list[np.ndarray]) -> None:
    def ask(_: Progress) -> None:
        pipeline(FRAMES, seed=1)

    with pytest.raises(EngineError, match="by its own progress callback"):
        pipeline(FRAMES, progress=ask)
    np.testing.assert_array_equal(pipeline(FRAMES, seed=1).audio, alone[1])


def test_whoever_is_cancelled_gives_the_turn_back(pipeline: Pipeline, alone: list[np.ndarray]) -> None:
    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(lambda: pipeline(FRAMES, progress=lambda _: False))
        assert isinstance(cancelled.exception(WAIT), Cancelled)
    np.testing.assert_array_equal(pipeline(FRAMES, seed=2).audio, alone[2])


def test_closing_waits_for_the_window_at_hand(bundle_path: Path) -> None:
    begun, failures = threading.Event(), []

    def run(opened: Pipeline) -> None:
        try:
            opened(FRAMES, progress=lambda _: begun.set())
        except EngineError as error:
            failures.append(str(error))

    opened = Pipeline.open(bundle_path, "onnxruntime", threads=1)
    thread = threading.Thread(target=run, args=(opened,))
    thread.start()
    assert begun.wait(WAIT)
    opened.close()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert len(failures) == 1  # at its second window
    assert "closed" in failures[0]


FORK = """
import os, sys
import numpy as np
from mdsgen import Pipeline
from mdsgen.errors import EngineError

def sound(pipeline):
    return pipeline(np.zeros((8, 48, 64, 3), np.uint8), steps=1).audio

with Pipeline.open(sys.argv[1], sys.argv[2], threads=2) as pipeline:
    expected = sound(pipeline)
    child = os.fork()
    if child == 0:
        try:
            sound(pipeline)
        except EngineError as error:
            print(error, flush=True)
        with Pipeline.open(sys.argv[1], sys.argv[2], threads=2) as own:
            print(np.array_equal(sound(own), expected), flush=True)
        sys.exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(sound(pipeline), expected))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forks nothing")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_forked_process_is_refused_opens_its_own_and_ends_well(bundle_path: Path, engine: str) -> None:
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    child = finished([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(bundle_path), engine])
    assert child.stderr == ""
    refused, opened, ended = child.stdout.splitlines()
    assert refused == "a pipeline does not work in a forked process: open one there, or start it with spawn"
    assert (opened, ended) == ("True", "3 True")
