"""How far TensorRT is with a plan, where it says so (10 and later)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

_EVERY = 25  # per cent


def progress_monitor(trt: ModuleType, graph: str, report: Callable[[str], None]) -> Any | None:
    """A monitor for a build of ``graph``: a line per quarter of every outer phase. None where TensorRT has no such.

    An exception would not survive the way through TensorRT: where a person interrupts, ``interrupted`` is set and the
    build asked to stop.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        interrupted = False

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._shown: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name], self._shown[phase_name] = num_steps, 0

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                if phase_name in self._steps:
                    self._tell(phase_name, 100 * (step + 1) // self._steps[phase_name])
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _tell(self, phase: str, percent: int) -> None:
            if percent >= self._shown[phase] + _EVERY:
                self._shown[phase] = percent - percent % _EVERY
                report(f"  {graph}: {phase} {self._shown[phase]} %")

    return Monitor()
