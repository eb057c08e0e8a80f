"""From a bundle to a bundle in another precision: no PyTorch, and no checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from mdsgen.bundle import DENOISER, GRAPHS, MANIFEST_FILE, Bundle, Graph, Manifest
from mdsgen.errors import ExportError
from mdsgen.export.bundle_original import BundleOriginal
from mdsgen.export.calibration_clips import CalibrationOptions
from mdsgen.export.options import DEFAULT_EXPORT, ExportOptions
from mdsgen.export.precision import restore_full
from mdsgen.export.quantiser import Quantiser
from mdsgen.export.verify import Reference, run_reference
from mdsgen.export.writer import write_bundle
from mdsgen.report import Report, silent
from mdsgen.runtime.networks import Networks

_OF_ONE_PRECISION = ("evaluation",)  # what of a provenance is not true of other precisions


def convert_bundle(
    source: Bundle,
    target: Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    frames: np.ndarray,
    report: Report = silent,
) -> Bundle:
    """Write ``source`` in another precision, verify it against ``source`` and keep it, as :func:`write_bundle` does.

    All else of the manifest stays; the provenance also says what it was converted from. Weights that ``source`` has
    rounded to FP16 stay rounded, in FP32 too. Raises :class:`ExportError` also for a source that computes in less than
    FP32.
    """
    found, convertible = source.manifest.precision, options.into.convertible_from
    if found not in convertible:
        raise ExportError(
            f"{source.folder} is in {found}, whose weights and arithmetic have been rounded for good: "
            f"expected a bundle in {' or '.join(convertible)}, such as the one that it was made from"
        )
    quantise = quantiser_of(source, options, report)
    load = partial(BundleSource, source, origin_of(source), quantise)
    return write_bundle(load, target, options, frames=frames, report=report)


def quantiser_of(source: Bundle, options: ExportOptions, report: Report) -> Quantiser | None:
    """What makes the denoiser of a precision that is calibrated, on the clips of the options; None for the others."""
    if not options.into.needs_calibration:
        return None
    return Quantiser(source, options.calibration or CalibrationOptions(), report)


def origin_of(source: Bundle) -> dict[str, str]:
    """What a manifest says of the bundle that its own was converted from."""
    manifest_file = (source.folder / MANIFEST_FILE).read_bytes()
    named = {"source": source.source} if source.name else {}
    return {
        "precision": source.manifest.precision,
        "manifest_sha256": hashlib.sha256(manifest_file).hexdigest(),
        **named,
    }


class BundleSource:
    """A bundle's graphs brought back to FP32, and their reference computed by the bundle itself.

    The provenance calls ``origin`` what it was converted from. A denoiser to be quantised is handed out quantised.
    """

    name = "the source bundle"

    def __init__(self, bundle: Bundle, origin: Mapping[str, str], quantise: Quantiser | None = None) -> None:
        self.bundle, self.origin, self.quantise = bundle, origin, quantise
        self.geometry, self.sampling = bundle.manifest.geometry, bundle.sampling

    def graphs(self) -> Iterator[tuple[str, Callable[[], onnx.ModelProto]]]:
        for name in GRAPHS:
            yield name, partial(self._load, name)

    def describe(self, graphs: dict[str, Graph], precision: str) -> Manifest:
        source = self.bundle.manifest
        kept = {name: value for name, value in source.provenance.items() if name not in _OF_ONE_PRECISION}
        provenance = {**kept, "converted_from": dict(self.origin)}
        if self.quantise is not None:
            provenance["calibration"] = self.quantise.describe()
        return Manifest(
            geometry=source.geometry,
            graphs=graphs,
            precision=precision,
            model=source.model,
            provenance=provenance,
            licence=source.licence,
            sampling=source.sampling,
            schedule=source.schedule,
            continues=source.continues,
        )

    def reference(self, frames: np.ndarray) -> Reference:
        with Networks(self.bundle, "onnxruntime") as networks:
            return run_reference(BundleOriginal(networks, self.name), frames, self.sampling)

    def _load(self, name: str) -> onnx.ModelProto:
        model = restore_full(onnx.load(self.bundle.path(name)))
        return self.quantise(model) if self.quantise is not None and name == DENOISER else model
