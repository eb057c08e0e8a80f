"""How TensorRT plans are built, and of which precisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mdsgen.engines.plans import HARDWARE_LEVELS
from mdsgen.errors import ExportError
from mdsgen.precision import PRECISIONS, Precision, Thresholds
from mdsgen.sampling import Sampling


@dataclass(frozen=True)
class PlanOptions:
    """How plans are built; None leaves it to TensorRT.

    ``workspace``: MiB that a layer may use while it runs. ``optimisation_level``: 0 to 5, the higher the longer the
    build. ``tactic_sources``: the only libraries to take kernels from. ``fixed_steps``: the one number of steps that
    the plans take; otherwise they take 1 to ``max_steps``. ``version_compatible`` and ``hardware_compatible`` make
    plans for other versions and GPUs too, at some cost in speed.
    """

    workspace: int | None = None
    optimisation_level: int | None = None
    tactic_sources: tuple[str, ...] = ()
    version_compatible: bool = False
    hardware_compatible: str | None = None
    fixed_steps: int | None = None
    max_steps: int = 50

    def __post_init__(self) -> None:
        if self.hardware_compatible not in (None, *HARDWARE_LEVELS):
            known = ", ".join(HARDWARE_LEVELS)
            raise ExportError(f"hardware compatibility must be one of {known}, not {self.hardware_compatible!r}")
        for name in ("workspace", "fixed_steps", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ExportError(f"{name} must be 1 or more, not {value}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "tactic_sources": list(self.tactic_sources)}

    def lengths(self, axis: str, sampling: Sampling) -> tuple[int, int, int]:
        """The least, best and most of an open axis, for a bundle that is sampled so."""
        if axis == "branches":
            return (branches_of(sampling),) * 3
        if axis != "steps":
            raise ExportError(f"a graph has an open axis {axis!r}: expected steps or branches; export the bundle again")
        if self.fixed_steps is not None:
            return (self.fixed_steps,) * 3
        return 1, min(sampling.steps, self.max_steps), self.max_steps


def branches_of(sampling: Sampling) -> int:
    """How many branches of guidance a plan computes at once: both, or the conditional one of what is never guided."""
    return 1 if sampling.guidance == 1.0 else 2


def plan_thresholds(precision: Precision) -> Thresholds:
    """What plans have to reach. Raises :class:`ExportError` for a precision that there are no plans of."""
    if precision.plan_thresholds is None:
        known = ", ".join(name for name, other in PRECISIONS.items() if other.plan_thresholds is not None)
        raise ExportError(
            f"there are no plans of {precision.name}, which saves memory on a CPU: export a bundle in one of {known}"
        )
    return precision.plan_thresholds
