"""A verified bundle of whatever has graphs and a reference to compare them with, or nothing at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from mdsgen.bundle import GRAPHS, Bundle, Graph, Manifest, create_bundle, write_manifest
from mdsgen.errors import ExportError, writing
from mdsgen.export.onnx_graph import save
from mdsgen.export.options import ExportOptions
from mdsgen.export.parity import require_passed, table
from mdsgen.export.precision import in_precision
from mdsgen.export.verify import Reference, compare
from mdsgen.geometry import Geometry
from mdsgen.parity import Parity
from mdsgen.precision import Thresholds
from mdsgen.report import Report, counted
from mdsgen.runtime.networks import Networks
from mdsgen.sampling import Sampling


class Source(Protocol):
    """What a bundle is made from."""

    name: str
    """What messages call it."""
    geometry: Geometry
    sampling: Sampling

    def graphs(self) -> Iterator[tuple[str, Callable[[], onnx.ModelProto]]]:
        """Each graph's name, and what makes it in FP32: called one after the other, so that one is in memory."""

    def describe(self, graphs: dict[str, Graph], precision: str) -> Manifest:
        """The manifest of a bundle with these graphs, without parity figures."""

    def reference(self, frames: np.ndarray) -> Reference:
        """What the original networks make of these frames."""


def write_bundle(
    load: Callable[[], Source], target: Path, options: ExportOptions, *, frames: np.ndarray, report: Report
) -> Bundle:
    """Write, verify and keep a bundle. ``load`` is called once all that can be checked without the source is checked.

    ``frames [F, 3, size, size]`` are a clip's, on which all graphs are compared with their originals.

    Raises :class:`ExportError` with all figures where one is too low, and :class:`~mdsgen.errors.BundleError` where
    ``target`` may not be written. Whatever goes wrong, ``target`` is then as it was before.
    """
    with writing(target, ExportError), create_bundle(target, replace=options.replace) as folder:
        source = load()
        _check_frames(source.geometry, frames)
        manifest = _write_graphs(source, folder, options.precision, report)
        report(f"verifying against {source.name} over {source.sampling.steps} steps")
        figures = _verify(source, Bundle.open(folder, verify=False), frames, options.thresholds)
        for line in table(figures).splitlines():
            report(line)
        require_passed(figures, f"not exported, too far from {source.name} in {options.precision}")
        write_manifest(folder, dataclasses.replace(manifest, parity=figures))
    return Bundle.open(target, verify=False)


def _write_graphs(source: Source, folder: Path, precision: str, report: Report) -> Manifest:
    """All graphs with a manifest that has no parity figures yet."""
    graphs: dict[str, Graph] = {}
    for name, make in counted(source.graphs(), len(GRAPHS), "exporting network", report):
        report(f"exporting {name} in {precision}")
        model = in_precision(make(), name, precision)
        graphs[name] = save(model, name, folder, geometry=source.geometry.name, precision=precision)
        del model  # before the next one is made
    manifest = source.describe(graphs, precision)
    write_manifest(folder, manifest)
    return manifest


def _verify(source: Source, bundle: Bundle, frames: np.ndarray, thresholds: Thresholds) -> tuple[Parity, ...]:
    reference = source.reference(frames)
    with Networks(bundle, "onnxruntime") as networks:
        return tuple(compare(networks, reference, thresholds))


def _check_frames(geometry: Geometry, frames: np.ndarray) -> None:
    expected = (geometry.video_frames, 3, geometry.frame_size, geometry.frame_size)
    if frames.shape != expected or frames.dtype != np.float32:
        raise ExportError(f"expected verification frames float32 {expected}, got {frames.dtype} {frames.shape}")
