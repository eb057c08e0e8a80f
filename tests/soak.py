"""``python -m tests.soak``: one process that makes many clips, opens many pipelines, and shares one among threads.

Memory and open files must stay flat and every sound right. With the small bundle; exit status 1 where something grew.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from mdsgen import Pipeline

BUNDLE = Path(__file__).parent / "fixtures" / "bundle"
FRAMES = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
WARMUP = 0.1
"""The share of the work after which nothing may grow any more."""
MOST_MEGABYTES = 8.0
"""Growth that is an allocator's affair: a leak of 10 kB a clip is more in a thousand clips."""


@dataclass(frozen=True)
class Growth:
    """What a process has more of at the end than after its warm-up."""

    times: int
    megabytes: float
    files: int

    @property
    def is_flat(self) -> bool:
        return self.megabytes < MOST_MEGABYTES and self.files <= 0


def repeated(work: Callable[[], object], times: int) -> Growth:
    """Do it so often, and measure."""
    for _ in range(max(1, round(times * WARMUP))):
        work()
    before = _memory(), _files()
    for _ in range(times):
        work()
    after = _memory(), _files()
    return Growth(times, after[0] - before[0], after[1] - before[1])


def clips(times: int) -> Growth:
    """Clips of one pipeline."""
    with Pipeline.open(BUNDLE, "onnxruntime", threads=1) as pipeline:
        return repeated(lambda: pipeline(FRAMES, steps=2), times)


def opens(times: int) -> Growth:
    """Pipelines that are opened, used and closed."""

    def use() -> None:
        with Pipeline.open(BUNDLE, "onnxruntime", threads=1) as pipeline:
            pipeline(FRAMES, steps=2)

    return repeated(use, times)


def wrong_clips(threads: int, each: int) -> int:
    """How many clips of threads that share a pipeline differ from what their seeds give alone."""
    with Pipeline.open(BUNDLE, "onnxruntime", threads=1) as pipeline:

        def sound(seed: int) -> bytes:
            return pipeline(FRAMES, seed=seed, steps=2).audio.tobytes()

        alone = [sound(seed) for seed in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            lanes = [pool.submit(lambda seed=seed: [sound(seed) for _ in range(each)]) for seed in range(threads)]
            return sum(clip != alone[seed] for seed, lane in enumerate(lanes) for clip in lane.result())


def _memory() -> float:
    """Megabytes that the process has in memory."""
    gc.collect()
    found = re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


@click.command("soak")
@click.option("--clips", "clip_count", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--opens", "open_count", type=click.IntRange(1), default=200, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=8, show_default=True)
@click.option("--each", type=click.IntRange(1), default=50, show_default=True, help="Clips of each thread.")
def main(clip_count: int, open_count: int, threads: int, each: int) -> None:
    """Make clips, open pipelines and share one among threads, in one process."""
    growths = {"clips": clips(clip_count), "opens": opens(open_count)}
    for name, growth in growths.items():
        click.echo(f"{growth.times} {name}: {growth.megabytes:+.1f} MB, {growth.files:+d} open files")
    wrong = wrong_clips(threads, each)
    click.echo(f"{threads} threads, {each} clips each: {wrong} of {threads * each} wrong")
    sys.exit(0 if not wrong and all(growth.is_flat for growth in growths.values()) else 1)


if __name__ == "__main__":
    main()
