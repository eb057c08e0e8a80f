"""Times of several things, taken side by side: repeated in turn after a warm-up, summed up in medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from mdsgen.report import Report, counted, silent

PAUSE = 0.05
"""Seconds between two that are timed in turn: the threads of the one spin for some milliseconds before they sleep."""


@dataclass(frozen=True)
class Measurement:
    """The seconds that each of several runs took."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def p95(self) -> float:
        """What 95 of 100 runs stay below."""
        return float(np.percentile(self.seconds, 95))

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    def to_dict(self) -> dict[str, float | int]:
        return {"median": self.median, "p95": self.p95, "min": self.minimum, "runs": len(self.seconds)}


def side_by_side(
    runs: Mapping[str, Callable[[], object]], repeat: int, warmup: int, lead: int = 0, progress: Report = silent
) -> dict[str, Measurement]:
    """Time all ``runs`` in turn, ``repeat`` times: what disturbs the machine for a while disturbs every one of them.

    Before that each one runs ``warmup`` times without being timed; and ``lead`` times before each time that it is, for
    what is one of many in real use: its weights are in the caches then, not the other's. Each turn begins with a pause,
    in which the other's threads stop spinning: on two cores they cost ONNX Runtime half of its speed otherwise.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in counted(range(warmup + repeat), warmup + repeat, "turn", progress):
        for name, run in runs.items():
            time.sleep(PAUSE)
            for _ in range(lead):
                run()
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
            if turn >= warmup:
                seconds[name].append(elapsed)
    return {name: Measurement(tuple(taken)) for name, taken in seconds.items()}
