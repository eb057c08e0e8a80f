"""From PyTorch to a bundle: trace to ONNX, choose the precision, verify every graph, keep all of it or nothing.

Importing this package imports nothing heavy; its names are imported when they are asked for, and need the ``export``
extra (PyTorch and ONNX), but for ``convert_bundle``, which brings a bundle to another precision with ONNX alone::

    from mdsgen.export import export_bundle, seeded_models, verification_frames

    models = seeded_models()
    bundle = export_bundle(models, Path("bundle"), frames=verification_frames(models.geometry))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdsgen.export.calibration_clips import CalibrationOptions
    from mdsgen.export.clip import verification_frames
    from mdsgen.export.convert import convert_bundle
    from mdsgen.export.exporter import export_bundle
    from mdsgen.export.models import Models, published_models, seeded_models, trained_models
    from mdsgen.export.options import ExportOptions

__all__ = [
    "CalibrationOptions",
    "ExportOptions",
    "Models",
    "convert_bundle",
    "export_bundle",
    "published_models",
    "seeded_models",
    "trained_models",
    "verification_frames",
]

_HOMES = {
    "CalibrationOptions": "calibration_clips",
    "ExportOptions": "options",
    "Models": "models",
    "convert_bundle": "convert",
    "export_bundle": "exporter",
    "published_models": "models",
    "seeded_models": "models",
    "trained_models": "models",
    "verification_frames": "clip",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: ``import mdsgen.export`` alone needs neither PyTorch nor ONNX."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mdsgen.export' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mdsgen.export.{_HOMES[name]}"), name)
