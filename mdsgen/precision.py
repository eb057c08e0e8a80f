"""The precisions of a bundle: what each one stores and computes in, and how close it has to come to its original.

How a graph is brought into a precision is the business of :mod:`mdsgen.export.precision`, by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

SPECTROGRAM, CLIP = "clip spectrogram", "clip"
"""The figures of the whole way, from frames to log-mel spectrogram and to waveform; the others are a graph's each."""


class DataType(Enum):
    """What weights are stored in, or products computed in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Thresholds:
    """The least signal-to-noise ratio in dB of every figure: of each graph, and of the whole way.

    The clip's is lower than a graph's: the diffusion loop feeds its own errors back. ``exceptions`` are the graphs that
    have one of their own.
    """

    graphs: float
    spectrogram: float
    clip: float
    exceptions: Mapping[str, float] = field(default_factory=dict)

    def of(self, figure: str) -> float:
        """The threshold of a graph, :data:`SPECTROGRAM` or :data:`CLIP`."""
        whole = {SPECTROGRAM: self.spectrogram, CLIP: self.clip}
        return {**whole, **self.exceptions}.get(figure, self.graphs)

    def lowered(self, tolerance: float) -> Thresholds:
        """All of them lower by so many dB."""
        exceptions = {graph: least - tolerance for graph, least in self.exceptions.items()}
        return Thresholds(self.graphs - tolerance, self.spectrogram - tolerance, self.clip - tolerance, exceptions)


@dataclass(frozen=True)
class Precision:
    """One precision of a bundle.

    ``stores`` is what most weights are stored in, ``computes`` the narrowest type that products are computed in.
    ``thresholds`` hold for a bundle against its original, ``plan_thresholds`` for TensorRT plans against ONNX Runtime;
    None where there are no plans.
    """

    name: str
    stores: DataType
    computes: DataType
    thresholds: Thresholds
    plan_thresholds: Thresholds | None
    needs_calibration: bool = False
    convertible_from: tuple[str, ...] = ("fp32", "fp16-weights")

    def __str__(self) -> str:
        return self.name

    @property
    def plans_by_default(self) -> bool:
        """Whether an export builds plans without being asked, where it can: FP16 is what GPUs are fastest in."""
        return self.plan_thresholds is not None and self.computes is DataType.FP16


_EXACT = Thresholds(80.0, 60.0, 60.0)
_HALF = Thresholds(45.0, 30.0, 30.0, {"vocoder": 35.0})
# After INT8 a waveform may have other phases: its spectrogram is compared in earnest, and the waveform's 6 dB, an error
# of half the amplitude, only show that it is the same sound.
_INT8 = replace(_HALF, spectrogram=20.0, clip=6.0, exceptions={**_HALF.exceptions, "denoiser": 25.0})
_INT8_WEIGHTS = Thresholds(25.0, 20.0, 6.0)

_ALL = (
    Precision("fp32", DataType.FP32, DataType.FP32, _EXACT, plan_thresholds=_EXACT),
    Precision("fp16-weights", DataType.FP16, DataType.FP32, _HALF, plan_thresholds=_EXACT),
    Precision("fp16", DataType.FP16, DataType.FP16, _HALF, plan_thresholds=Thresholds(45.0, 30.0, 30.0)),
    Precision("int8-weights", DataType.INT8, DataType.FP32, _INT8_WEIGHTS, plan_thresholds=None),
    Precision(
        "int8",
        DataType.INT8,
        DataType.INT8,
        _INT8,
        plan_thresholds=Thresholds(30.0, 15.0, 15.0),
        needs_calibration=True,
    ),
)

PRECISIONS: Mapping[str, Precision] = {precision.name: precision for precision in _ALL}
"""All precisions by name, the widest first."""
