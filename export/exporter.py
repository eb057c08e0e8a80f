"""From PyTorch networks to a verified bundle, or to nothing at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
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
    Quality,
    SamplerDefaults,
    create_bundle,
    write_manifest,
)
from mdsgen.errors import ExportError
from mdsgen.export.graphs import BRANCHES, Conditioning, DenoiserStep
from mdsgen.export.models import Models
from mdsgen.export.onnx_graph import Network, save, trace
from mdsgen.export.parity import THRESHOLDS, table
from mdsgen.export.precision import to_half
from mdsgen.export.verify import compare, run_reference
from mdsgen.geometry import FEATURE_CHANNELS, FRAME_SIZE
from mdsgen.model.audio import LatentDecoder, Vocoder
from mdsgen.runtime.networks import Networks

Report = Callable[[str], None]
"""Takes one line about what is being done."""

_STEPS_AXIS = "steps"


def export_bundle(
    models: Models,
    target: Path,
    *,
    precision: str = "fp16",
    frames: np.ndarray,
    sampler: SamplerDefaults | None = None,
    tolerance: float = 0.0,
    replace: bool = False,
    report: Report = lambda line: None,
) -> Bundle:
    """Export, verify and keep a bundle.

    ``frames [F, 3, 224, 224]`` are a real clip's, on which all graphs are compared with PyTorch. ``tolerance`` lowers
    every threshold by so many decibels. Raises :class:`ExportError` with the whole table where a figure is too low;
    whatever goes wrong, ``target`` is then as it was before.
    """
    if precision not in THRESHOLDS:
        raise ExportError(f"precision {precision!r} is unknown: expected one of {', '.join(THRESHOLDS)}")
    _check_frames(models, frames)
    sampler = sampler or SamplerDefaults()
    with create_bundle(target, replace=replace) as folder:
        graphs: dict[str, Graph] = {}
        for network in networks_of(models):
            report(f"exporting {network.name} in {precision}")
            model = trace(network)
            graphs[network.name] = save(
                to_half(model, network.name) if precision == "fp16" else model, network.name, folder
            )
            del model
        manifest = Manifest(
            geometry=models.geometry,
            graphs=graphs,
            precision=precision,
            model=models.describe(),
            provenance=models.provenance,
            licence=models.licence,
            sampler=sampler,
        )
        write_manifest(folder, manifest)
        report(f"verifying against PyTorch over {sampler.steps} steps")
        quality = _verify(models, Bundle.open(folder, verify=False), frames, tolerance)
        report(table(quality))
        failed = [figure.graph for figure in quality if not figure.passed]
        if failed:
            raise ExportError(
                f"not exported: {', '.join(failed)} below the least decibels for {precision} "
                f"(--tolerance lowers them knowingly)\n{table(quality)}"
            )
        write_manifest(folder, dataclasses.replace(manifest, quality=quality))
    return Bundle.open(target, verify=False)


def networks_of(models: Models) -> Iterator[Network]:
    """The five networks with example inputs, one after the other so that only one trace is in memory."""
    geometry, c = models.geometry, models.denoiser.config
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
    modulations = torch.zeros(BRANCHES, c.modulations, c.width)
    yield Network(DENOISER, DenoiserStep(models.denoiser), {"latent": latent, "modulations": modulations}, "noise", {})
    yield Network(LATENT_DECODER, LatentDecoder(models.codec), {"latent": latent}, "log_mel", {})
    log_mel = torch.zeros(1, geometry.mel_frames, geometry.mel.bins)
    yield Network(VOCODER, Vocoder(models.codec), {"log_mel": log_mel}, "waveform", {})


def _verify(models: Models, bundle: Bundle, frames: np.ndarray, tolerance: float) -> tuple[Quality, ...]:
    thresholds = {name: least - tolerance for name, least in THRESHOLDS[bundle.manifest.precision].items()}
    reference = run_reference(models, frames, bundle.manifest.sampler)
    with Networks(bundle) as networks:
        return tuple(compare(networks, reference, thresholds))


def _check_frames(models: Models, frames: np.ndarray) -> None:
    expected = (models.geometry.video_frames, 3, FRAME_SIZE, FRAME_SIZE)
    if frames.shape != expected or frames.dtype != np.float32:
        raise ExportError(f"expected verification frames float32 {expected}, got {frames.dtype} {frames.shape}")
