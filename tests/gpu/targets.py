"""What a GPU has to show, with the limits, and whether it has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A figure with a limit: at least ``least``, at most ``most``. ``of_time`` is one that only a GPU can meet."""

    what: str
    unit: str = ""
    least: float = -math.inf
    most: float = math.inf
    of_time: bool = False

    def met(self, value: float) -> bool:
        """False for what is no number."""
        return self.least <= value <= self.most

    @property
    def limit_in_words(self) -> str:
        if self.least == self.most:
            return f"exactly {self.least:g}"
        return f"at least {self.least:g}" if math.isinf(self.most) else f"at most {self.most:g}"


TARGETS: Mapping[str, Target] = {
    "kernels": Target("kernels that differ from float64", most=0, least=0),
    "plans": Target("worst plan against ONNX Runtime", "dB", least=45),
    "replay": Target("samples that differ between graph and stream order", most=0, least=0),
    "launches": Target("launches per clip", most=1, least=1),
    "host": Target("host between two replays of the loop", "µs", most=50, of_time=True),
    "growth": Target("device memory lost per clip", "bytes", most=64),
    "loop-4": Target("loop of 4 evaluations", "ms", most=1.2, of_time=True),
    "clip-4": Target("clip with 4 evaluations", "ms", most=4, of_time=True),
    "eager": Target("25 guided steps against PyTorch eager, FP16", "×", least=3, of_time=True),
    "compiled": Target("25 guided steps against torch.compile with CUDA graphs", "×", least=1.5, of_time=True),
    "memcheck": Target("memory errors in kernels", most=0, least=0),
    "racecheck": Target("races in kernels", most=0, least=0),
}
"""By the name under which a figure is kept."""


def summary(figures: Mapping[str, float], rehearsal: bool) -> Iterator[str]:
    """Every target in a line: what was seen, the limit, and whether it was met, missed, or not run."""
    width = max(len(target.what) for target in TARGETS.values())
    for name, target in TARGETS.items():
        seen = f"{figures[name]:.4g} {target.unit}".strip() if name in figures else ""
        yield f"{target.what:<{width}}  {seen:>12}  {target.limit_in_words:<13}  {outcome(name, figures, rehearsal)}"


def outcome(name: str, figures: Mapping[str, float], rehearsal: bool) -> str:
    """``met``, ``missed``, ``not run``; ``rehearsed`` for a time that no GPU took."""
    if name not in figures:
        return "not run"
    if rehearsal and TARGETS[name].of_time:
        return "rehearsed"
    return "met" if TARGETS[name].met(figures[name]) else "missed"
