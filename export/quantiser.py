"""The denoiser in INT8, the whole way: calibrate, smooth, find the layers that it harms least, quantise those."""

from __future__ import annotations

import math
from typing import Any

import onnx

from mdsgen.bundle import Bundle
from mdsgen.errors import ExportError
from mdsgen.export.activations import Activations
from mdsgen.export.calibration import calibrate
from mdsgen.export.calibration_clips import CalibrationOptions
from mdsgen.export.conditioning import ConditioningNetworks
from mdsgen.export.int8 import to_int8
from mdsgen.export.linear_layers import join_projections, linear_layers
from mdsgen.export.sensitivity import kept_layers, noise_snr_db, sensitivities
from mdsgen.export.smoothing import STRENGTH, smooth
from mdsgen.report import Report, silent


class Quantiser:
    """Makes an INT8 denoiser of a bundle's FP32 one, and knows afterwards what it did.

    The clips' frames go through the bundle's own video encoder. Same bundle and options, same result.
    """

    def __init__(self, bundle: Bundle, options: CalibrationOptions, report: Report = silent) -> None:
        self._bundle, self._options, self._report = bundle, options, report
        self._done: dict[str, Any] = {}

    def __call__(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """``model`` in FP32 → a copy with its linear layers in INT8, but for those that it harms most.

        Changes ``model``: its projections are joined and smoothed. Raises :class:`ExportError` for a denoiser that has
        no linear layers.
        """
        joined = join_projections(model)
        if not linear_layers(joined):
            raise ExportError(
                f"the denoiser of {self._bundle.folder} has no MatMul with a constant weight, which is what INT8 is "
                "for: export it again, or choose int8-weights"
            )
        with ConditioningNetworks(self._bundle) as networks:
            calibration = calibrate(networks, Activations(joined), self._options, self._bundle.sampling, self._report)
        maxima = smooth(joined, calibration.maxima)
        layers = linear_layers(joined)
        found = sensitivities(joined, layers, maxima, calibration.feeds, self._report)
        kept = kept_layers(layers, found)
        quantised = to_int8(joined, [layer for layer in layers if layer not in kept], maxima)
        self._done = {
            **calibration.describe(),
            "smoothing": STRENGTH,
            "decibels": _figure(noise_snr_db(quantised, calibration.feeds)),
            "kept": [layer.name for layer in kept],
            "layers": {name: _figure(value) for name, value in found.items()},
        }
        return quantised

    def describe(self) -> dict[str, Any]:
        """What it used and found, for the manifest: clips, passes, layers kept in FP32, and as
        ``decibels`` and ``layers`` the noise estimate's signal-to-noise ratio, with all in INT8 and with each alone.

        It is None where INT8 changes nothing at all: JSON has no word for infinity.
        """
        return dict(self._done)


def _figure(snr_db: float) -> float | None:
    return round(snr_db, 2) if math.isfinite(snr_db) else None
