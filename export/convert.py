"""From a bundle to a bundle in another precision: no PyTorch, and no checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from mdsgen.bundle import GRAPHS, MANIFEST_FILE, Bundle, Graph, Manifest
from mdsgen.errors import ExportError
from mdsgen.export.bundle_original import BundleOriginal
from mdsgen.export.precision import restore_full
from mdsgen.export.verify import Reference, run_reference
from mdsgen.export.writer import Report, write_bundle
from mdsgen.runtime.networks import Networks

CONVERTIBLE = ("fp32", "fp16-weights")
"""The precisions whose graphs compute in FP32."""


def convert_bundle(
    source: Bundle,
    target: Path,
    *,
    precision: str = "fp16",
    frames: np.ndarray,
    tolerance: float = 0.0,
    replace: bool = False,
    report: Report = lambda line: None,
) -> Bundle:
    """Write ``source`` in another precision, verify it against ``source`` and keep it; see :func:`write_bundle`.

    Geometry, sampler, model, licence and provenance stay; the provenance also says what it was converted from. Weights
    that ``source`` has rounded to FP16 stay rounded, in FP32 too. Raises :class:`ExportError` also for a source that
    computes in less than FP32.
    """
    found = source.manifest.precision
    if found not in CONVERTIBLE:
        raise ExportError(
            f"{source.folder} is in {found}, whose weights and arithmetic have been rounded for good: "
            f"expected a bundle in {' or '.join(CONVERTIBLE)}, such as the one that it was made from"
        )
    return write_bundle(
        lambda: BundleSource(source),
        target,
        precision=precision,
        frames=frames,
        tolerance=tolerance,
        replace=replace,
        report=report,
    )


class BundleSource:
    """A bundle's graphs brought back to FP32, and their reference computed by the bundle itself."""

    name = "the source bundle"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.geometry, self.sampler = bundle.manifest.geometry, bundle.manifest.sampler

    def graphs(self) -> Iterator[tuple[str, Callable[[], onnx.ModelProto]]]:
        for name in GRAPHS:
            yield name, partial(_load, self.bundle.path(name))

    def describe(self, graphs: dict[str, Graph], precision: str) -> Manifest:
        source = self.bundle.manifest
        manifest_file = (self.bundle.folder / MANIFEST_FILE).read_bytes()
        origin = {"precision": source.precision, "manifest_sha256": hashlib.sha256(manifest_file).hexdigest()}
        return Manifest(
            geometry=source.geometry,
            graphs=graphs,
            precision=precision,
            model=source.model,
            provenance={**source.provenance, "converted_from": origin},
            licence=source.licence,
            sampler=source.sampler,
        )

    def reference(self, frames: np.ndarray) -> Reference:
        with Networks(self.bundle, "onnxruntime") as networks:
            return run_reference(BundleOriginal(networks, self.name), frames, self.sampler)


def _load(path: Path) -> onnx.ModelProto:
    return restore_full(onnx.load(path))
