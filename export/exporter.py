"""From PyTorch networks to a verified bundle, or to nothing at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from mdsgen.export.parity import THRESHOLDS, in_words, table
from mdsgen.export.precision import to_half
from mdsgen.export.verify import compare, run_reference
from mdsgen.geometry import FEATURE_CHANNELS, FRAME_SIZE
from mdsgen.model.audio import LatentDecoder, Vocoder
from mdsgen.runtime.networks import Networks

Report = Callable[[str], None]
"""Takes one line about what is being done."""

MAX_TOLERANCE = 100.0
"""More than any threshold is high: what is unusable stays refused."""

_STEPS_AXIS = "steps"


def export_bundle(
    models: Models | Callable[[], Models],
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

    ``models`` may be a function that loads them: it is called once all that can be checked without them is checked,
    the target above all. ``frames [F, 3, 224, 224]`` are a clip's, on which all graphs are compared with PyTorch.
    ``tolerance`` lowers every threshold by so many decibels.

    Raises :class:`ExportError` with all figures where one is too low, and :class:`~mdsgen.errors.BundleError` where
    ``target`` may not be written. Whatever goes wrong, ``target`` is then as it was before.
    """
    if precision not in THRESHOLDS:
        raise ExportError(f"precision {precision!r} is unknown: expected one of {', '.join(THRESHOLDS)}")
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise ExportError(f"tolerance must be from 0 to {MAX_TOLERANCE:g} dB, not {tolerance!r}")
    sampler = sampler or SamplerDefaults()
    with _disk_errors(target), create_bundle(target, replace=replace) as folder:
        models = models() if callable(models) else models
        _check_frames(models, frames)
        manifest = _write_graphs(models, folder, precision, sampler, report)
        report(f"verifying against PyTorch over {sampler.steps} steps")
        quality = _verify(models, Bundle.open(folder, verify=False), frames, tolerance)
        for line in table(quality).splitlines():
            report(line)
        _require_passed(quality, precision)
        write_manifest(folder, dataclasses.replace(manifest, quality=quality))
    return Bundle.open(target, verify=False)


def _write_graphs(models: Models, folder: Path, precision: str, sampler: SamplerDefaults, report: Report) -> Manifest:
    """All graphs with a manifest that has no quality figures yet."""
    graphs: dict[str, Graph] = {}
    for network in networks_of(models):
        report(f"exporting {network.name} in {precision}")
        model = trace(network)
        if precision == "fp16":
            model = to_half(model, network.name)
        graphs[network.name] = save(model, network.name, folder, geometry=models.geometry.name, precision=precision)
        del model  # before the next one is traced
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
    return manifest


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


def _require_passed(quality: Sequence[Quality], precision: str) -> None:
    failed = [figure for figure in quality if not figure.passed]
    if not failed:
        return
    passed = [f"{figure.graph} {in_words(figure.decibels)}" for figure in quality if figure.passed]
    raise ExportError(
        f"not exported, too far from PyTorch in {precision}: "
        + ", ".join(f"{figure.graph} {in_words(figure.decibels)} dB of {figure.threshold:g}" for figure in failed)
        + (f"; good enough are {', '.join(passed)}" if passed else "")
        + "; a tolerance accepts less"
    )


def _check_frames(models: Models, frames: np.ndarray) -> None:
    expected = (models.geometry.video_frames, 3, FRAME_SIZE, FRAME_SIZE)
    if frames.shape != expected or frames.dtype != np.float32:
        raise ExportError(f"expected verification frames float32 {expected}, got {frames.dtype} {frames.shape}")


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """A full disk or a folder that refuses to be written, as an error that says what was to be written."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"the bundle {target} cannot be written: {error}") from error
