"""How a bundle is exported, or converted into another one."""

from __future__ import annotations

from dataclasses import dataclass

from mdsgen.errors import ExportError
from mdsgen.export.calibration_clips import CalibrationOptions
from mdsgen.precision import PRECISIONS, Precision, Thresholds

MAX_TOLERANCE = 100.0
"""More than any threshold is high: what is unusable stays refused."""


@dataclass(frozen=True)
class ExportOptions:
    """``precision`` by name; ``tolerance`` lowers every threshold by so many dB; ``replace`` a bundle that is there.

    ``calibration`` is for a precision that is calibrated; None there is :class:`CalibrationOptions` as they are.
    Raises :class:`ExportError` for what is unknown, out of range, or of no use to the precision.
    """

    precision: str = "fp16"
    calibration: CalibrationOptions | None = None
    tolerance: float = 0.0
    replace: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ExportError(f"precision {self.precision!r} is unknown: expected one of {', '.join(PRECISIONS)}")
        if not 0 <= self.tolerance <= MAX_TOLERANCE:
            raise ExportError(f"tolerance must be from 0 to {MAX_TOLERANCE:g} dB, not {self.tolerance!r}")
        if self.calibration is not None and not self.into.needs_calibration:
            calibrated = ", ".join(name for name, each in PRECISIONS.items() if each.needs_calibration)
            raise ExportError(
                f"{self.precision} is not calibrated: leave out {self.calibration}, or choose {calibrated}"
            )

    @property
    def into(self) -> Precision:
        """The precision itself."""
        return PRECISIONS[self.precision]

    @property
    def thresholds(self) -> Thresholds:
        """What every figure of the bundle has to reach."""
        return self.into.thresholds.lowered(self.tolerance)


DEFAULT_EXPORT = ExportOptions()
