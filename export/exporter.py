"""From PyTorch networks to a verified bundle, or to nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    folder_beside,
)
from mdsgen.export.calibration import CalibrationClip, check_clips, scene_clips
from mdsgen.export.convert import BundleSource
from mdsgen.export.graphs import BRANCHES, Conditioning, DenoiserStep, fusable
from mdsgen.export.models import Models
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.export.original import PyTorchOriginal
from mdsgen.export.quantiser import Quantiser
from mdsgen.export.verify import Reference, run_reference
from mdsgen.export.writer import disk_errors, write_bundle
from mdsgen.geometry import FEATURE_CHANNELS, FRAME_SIZE
from mdsgen.model.codec import LatentDecoder, Vocoder
from mdsgen.report import Report
from mdsgen.sampling import Sampling

_STEPS_AXIS = "steps"
_BRANCHES_AXIS = "branches"  # two, or the conditional one alone


def export_bundle(
    models: Models | Callable[[], Models],
    target: Path,
    *,
    precision: str = "fp16",
    frames: np.ndarray,
    sampling: Sampling | None = None,
    calibration: Sequence[CalibrationClip] = (),
    seed: int = 0,
    tolerance: float = 0.0,
    replace: bool = False,
    report: Report = lambda line: None,
) -> Bundle:
    """Export, verify and keep a bundle; ``frames``, ``tolerance`` and ``replace`` are as in :func:`write_bundle`.

    ``models`` may be a function that loads them: it is called once all that can be checked without them is checked,
    the target above all.

    ``int8`` is made of an FP32 bundle beside the target, which is gone afterwards: ``converted_from`` in the provenance
    has its precision and no checksum. ``calibration`` and ``seed`` are as in
    :func:`~mdsgen.export.convert.convert_bundle`.
    """
    check_clips(precision, calibration)
    chosen = sampling or Sampling()

    def load() -> PyTorchSource:
        return PyTorchSource(models() if callable(models) else models, chosen)

    write = partial(write_bundle, frames=frames, tolerance=tolerance, report=report)
    if precision != "int8":
        return write(load, target, precision=precision, replace=replace)
    with disk_errors(target), _full_bundle(partial(write, load), target, replace) as full:
        clips = calibration or scene_clips(full.manifest.geometry, seed=seed)
        quantise = Quantiser(full, clips, seed=seed, report=report)
        origin = {"precision": full.manifest.precision}  # and no more: nobody will find it
        return write(lambda: BundleSource(full, origin, quantise), target, precision=precision, replace=replace)


@contextmanager
def _full_bundle(write: Callable[..., Bundle], target: Path, replace: bool) -> Iterator[Bundle]:
    """An FP32 bundle beside ``target``, which is found good before. It is gone afterwards."""
    target = target.resolve()
    check_target(target, replace)
    with folder_beside(target) as folder:
        yield write(folder / "fp32", precision="fp32", replace=False)


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
        )

    def reference(self, frames: np.ndarray) -> Reference:
        return run_reference(PyTorchOriginal(self.models), frames, self.sampling)


def networks_of(models: Models) -> Iterator[Network]:
    """The five networks with example inputs, one after the other so that only one trace is in memory."""
    geometry = models.geometry
    frames = torch.zeros(1, geometry.video_frames, 3, FRAME_SIZE, FRAME_SIZE)
    yield Network(VIDEO_ENCODER, models.video_encoder, {"frames": frames}, "features", {})
    features = torch.zeros(1, geometry.video_frames, FEATURE_CHANNELS)
    timesteps = torch.zeros(2)
    yield Network(
        CONDITIONING,
        Conditioning(models.denoiser),
        {"features": features, "timesteps": timesteps},
        "modulations",
        {"timesteps": _STEPS_AXIS, "modulations": _STEPS_AXIS},
    )
    latent = torch.zeros(1, *geometry.latent_shape)
    modulations = torch.zeros(BRANCHES, models.denoiser.vectors, models.denoiser.config.width)
    yield Network(
        DENOISER,
        DenoiserStep(models.denoiser),
        {"latent": latent, "modulations": modulations},
        "noise",
        {"modulations": _BRANCHES_AXIS, "noise": _BRANCHES_AXIS},
    )
    yield Network(LATENT_DECODER, LatentDecoder(models.codec), {"latent": latent}, "log_mel", {})
    log_mel = torch.zeros(1, geometry.mel_frames, geometry.mel.bins)
    yield Network(VOCODER, fusable(Vocoder(models.codec)), {"log_mel": log_mel}, "waveform", {})
