"""How fast TensorRT is on the GPU: the loop and the clip, with the time that the host takes between two of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from mdsgen.bench.tensorrt_backend import DeviceLoop
from mdsgen.runtime import Networks, seeded_noise
from mdsgen.runtime.device_window import DeviceWindow
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.replay import Replay
from tests.gpu import measured, rehearsed
from tests.gpu.conftest import SETTINGS, captured, frames_of

pytestmark = pytest.mark.gpu
FEW_STEPS = SETTINGS.changed(steps=4, guidance=1.0)
REPEATS = rehearsed(200, 2)


def test_four_evaluations(generators: Generators, networks: Networks) -> None:
    """The loop first. A plan of both branches computes both, as a distilled model's plan of one need not."""
    clip = captured(generators, networks, FEW_STEPS)
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 1)
    loop = DeviceLoop(clip, graph=True)
    try:
        loop(noise)
        of_loop = measured("loop-4", 1e3 * seconds(lambda: loop(noise)))
    finally:
        loop.close()
    of_clip = measured("clip-4", 1e3 * seconds(lambda: clip(frames, noise)))
    assert (of_loop, of_clip) == (True, True)


def test_the_host_needs_little_between_replays(clip: DeviceWindow, networks: Networks) -> None:
    """From the return of one wait to that of the next launch, the next noise put into its place in between.

    The clip's next pictures are megabytes to copy: its time is printed, with and without them, and that of all of it.
    """
    frames, noise = frames_of(networks.geometry), seeded_noise(networks.geometry, 1)
    loop = DeviceLoop(clip, graph=True)
    try:
        loop(noise)
        assert loop.replay.replays, "capture was refused: see the warning"
        between = host_microseconds(clip, loop.replay, lambda: clip.fill_start(noise))
    finally:
        loop.close()
    launching = host_microseconds(clip, clip.replay, lambda: None)
    filling = host_microseconds(clip, clip.replay, lambda: clip.fill(frames, noise))
    print(f"host between replays of the clip {launching:.1f} µs, with its pictures {filling:.1f} µs")
    print(f"clip of 25 guided steps: {1e3 * seconds(lambda: clip(frames, noise)):.3f} ms")
    assert measured("host", between)


def seconds(run: Callable[[], object]) -> float:
    """Median of one run, until its result is on the host."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def host_microseconds(clip: DeviceWindow, replay: Replay, fill: Callable[[], None]) -> float:
    """Median from the return of one wait to that of the next launch."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        fill()
        replay.launch()
        taken.append(time.perf_counter() - start)
        clip.device.synchronize()
    return 1e6 * float(np.median(taken))
