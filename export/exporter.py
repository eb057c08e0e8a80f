"""From PyTorch networks to a verified bundle, or to nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from mdsgen.bundle import (
    CONDITIONING,
    DENOISER,
    LATENT_DECODER,
    VIDEO_ENCODER,
    VOCODER,
    Bundle,
    Graph,
    Manifest,
    check_target,
)
from mdsgen.errors import ExportError, writing
from mdsgen.export.convert import BundleSource, quantiser_of
from mdsgen.export.graphs import BRANCHES, Conditioning, DenoiserStep, fusable
from mdsgen.export.models import Models
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.export.options import DEFAULT_EXPORT, ExportOptions
from mdsgen.export.original import PyTorchOriginal
from mdsgen.export.verify import Reference, run_reference
from mdsgen.export.writer import write_bundle
from mdsgen.files import hidden_folder
from mdsgen.geometry import FEATURE_CHANNELS
from mdsgen.model.codec import LatentDecoder, Vocoder
from mdsgen.precision import PRECISIONS
from mdsgen.report import Report, silent
from mdsgen.sampling import Sampling

_WIDEST = next(iter(PRECISIONS))  # what a precision that is calibrated is made of
_STEPS_AXIS = "steps"
_BRANCHES_AXIS = "branches"  # two, or the conditional one alone


def export_bundle(
    models: Models | Callable[[], Models],
    target: Path,
    options: ExportOptions = DEFAULT_EXPORT,
    *,
    frames: np.ndarray,
    sampling: Sampling | None = None,
    report: Report = silent,
) -> Bundle:
    """Export, verify and keep a bundle; ``frames`` are as in :func:`write_bundle`.

    ``models`` may be a function that loads them: it is called once all that can be checked without them is checked,
    the target above all.

    What is calibrated is made of an FP32 bundle beside the target, which is gone afterwards: ``converted_from`` in the
    provenance has its precision and no checksum.
    """

    def load() -> PyTorchSource:
        loaded = models() if callable(models) else models
        return PyTorchSource(loaded, replace(sampling or loaded.sampling, distilled=loaded.sampling.distilled))

    if not options.into.needs_calibration:
        return write_bundle(load, target, options, frames=frames, report=report)
    with writing(target, ExportError):
        check_target(target.resolve(), options.replace)
        with hidden_folder(target) as folder:
            widest = ExportOptions(_WIDEST, tolerance=options.tolerance)
            full = write_bundle(load, folder / _WIDEST, widest, frames=frames, report=report)
            origin = {"precision": full.manifest.precision}  # and no more: nobody will find it
            source = partial(BundleSource, full, origin, quantiser_of(full, options, report))
            return write_bundle(source, target, options, frames=frames, report=report)


class PyTorchSource:
    """Graphs traced from PyTorch modules, and their reference computed by the same."""

    name = "PyTorch"

    def __init__(self, models: Models, sampling: Sampling) -> None:
        self.models, self.sampling = models, sampling
        self.geometry = models.geometry

    def graphs(self) -> Iterator[tuple[str, Callable[[], onnx.ModelProto]]]:
        for network in networks_of(self.models):
            yield network.name, partial(trace, network)

    def describe(self, graphs: dict[str, Graph], precision: str) -> Manifest:
        return Manifest(
            geometry=self.geometry,
            graphs=graphs,
            precision=precision,
            model=self.models.describe(),
            provenance=self.models.provenance,
            licence=self.models.licence,
            sampling=self.sampling,
            schedule=self.models.schedule,
            continues=self.models.continues,
        )

    def reference(self, frames: np.ndarray) -> Reference:
        return run_reference(PyTorchOriginal(self.models), frames, self.sampling)


def networks_of(models: Models) -> Iterator[Network]:
    """The five networks with example inputs, one after the other so that only one trace is in memory."""
    geometry = models.geometry
    frames = torch.zeros(1, geometry.video_frames, 3, geometry.frame_size, geometry.frame_size)
    yield Network(VIDEO_ENCODER, models.video_encoder, {"frames": frames}, "features", {})
    features = torch.zeros(1, geometry.video_features, FEATURE_CHANNELS)
    timesteps = torch.zeros(2)
    yield Network(
        CONDITIONING,
        Conditioning(models.denoiser, models.branches),
        {"features": features, "timesteps": timesteps},
        "modulations",
        {"timesteps": _STEPS_AXIS, "modulations": _STEPS_AXIS},
    )
    latent = torch.zeros(1, *geometry.latent_shape)
    modulations = torch.zeros(models.branches, models.denoiser.vectors, models.denoiser.config.width)
    yield Network(
        DENOISER,
        DenoiserStep(models.denoiser),
        {"latent": latent, "modulations": modulations},
        "noise",
        {"modulations": _BRANCHES_AXIS, "noise": _BRANCHES_AXIS} if models.branches == BRANCHES else {},
    )
    yield Network(LATENT_DECODER, LatentDecoder(models.codec), {"latent": latent}, "log_mel", {})
    log_mel = torch.zeros(1, geometry.mel_frames, geometry.mel.bins)
    yield Network(VOCODER, fusable(Vocoder(models.codec)), {"log_mel": log_mel}, "waveform", {})
