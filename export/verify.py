"""The exported graphs against the PyTorch model, on a real clip: every graph on its own, then the whole way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mdsgen.bundle import (
    CONDITIONING,
    DENOISER,
    LATENT_DECODER,
    VIDEO_ENCODER,
    VOCODER,
    Quality,
    SamplerDefaults,
)
from mdsgen.errors import ExportError
from mdsgen.export.models import Models
from mdsgen.export.parity import CLIP, decibels
from mdsgen.runtime.clip import ClipGenerator, SamplerSettings, Timings, timesteps_of
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import sample, seeded_noise

_COMPARED_STEPS = 3  # the first, the middle and the last latent of the trajectory


@dataclass(frozen=True)
class Reference:
    """What the FP32 PyTorch model makes of one clip, stage by stage, as NumPy arrays."""

    frames: np.ndarray  # [F, 3, 224, 224]
    noise: np.ndarray  # [1, C, H, W]
    settings: SamplerSettings
    features: np.ndarray  # [1, F, 512]
    modulations: np.ndarray  # [steps, 2, M, D]
    trajectory: list[tuple[int, np.ndarray, np.ndarray]]  # step, latent [1, C, H, W], noise of both [2, C, H, W]
    latent: np.ndarray  # [1, C, H, W]
    log_mel: np.ndarray  # [1, frames, bins]
    waveform: np.ndarray  # [1, samples]


@torch.no_grad()
def run_reference(models: Models, frames: np.ndarray, sampler: SamplerDefaults, seed: int = 0) -> Reference:
    """Run the PyTorch model the published way: conditioning and two separate passes in every step.

    Raises :class:`ExportError` where it gives what is not finite: nothing could be compared with that.
    """
    denoiser, geometry = models.denoiser, models.geometry
    settings = SamplerSettings(sampler.steps, sampler.guidance, sampler.guidance_power)
    noise = seeded_noise(geometry, seed)
    features = models.video_encoder(torch.from_numpy(frames)[None])  # [1, F, 512]
    compared = set(np.linspace(0, settings.steps - 1, _COMPARED_STEPS).astype(int))
    trajectory: list[tuple[int, np.ndarray, np.ndarray]] = []
    step = 0

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        nonlocal step
        x, t = torch.from_numpy(latent), torch.tensor([timestep], dtype=torch.float32)
        both = [denoiser(x, t, branch)[:, : geometry.channels].numpy() for branch in (features, None)]
        if step in compared:
            trajectory.append((step, latent.copy(), np.concatenate(both)))
        step += 1
        return both[0], both[1]

    latent = sample(network, noise, settings.steps, settings.guidance, settings.guidance_power)
    log_mel = models.codec.decode(torch.from_numpy(latent))
    reference = Reference(
        frames=frames,
        noise=noise,
        settings=settings,
        features=features.numpy(),
        modulations=_reference_modulations(models, features, settings),
        trajectory=trajectory,
        latent=latent,
        log_mel=log_mel.contiguous().numpy(),
        waveform=models.codec.vocode(log_mel).numpy(),
    )
    _check_finite(reference)
    return reference


def compare(networks: Networks, reference: Reference, thresholds: dict[str, float]) -> list[Quality]:
    """All figures of an exported model, worst case per graph; nothing is raised for a poor one."""

    def figure(graph: str, what: str, value: float) -> Quality:
        return Quality(graph, what, value, thresholds[graph])

    timesteps = timesteps_of(reference.settings.solve())
    worst = min(
        decibels(noise, np.concatenate(networks.denoise(latent, reference.modulations[step])))
        for step, latent, noise in reference.trajectory
    )
    modulations = networks.condition(reference.features, timesteps)
    clip = ClipGenerator(networks, reference.settings)(reference.frames, reference.noise, Timings())
    return [
        figure(VIDEO_ENCODER, "features of the clip", decibels(reference.features, networks.encode(reference.frames))),
        figure(CONDITIONING, "modulations of all steps", decibels(reference.modulations, modulations)),
        figure(DENOISER, f"noise at {len(reference.trajectory)} steps, worst", worst),
        figure(LATENT_DECODER, "log-mel spectrogram", decibels(reference.log_mel, networks.decode(reference.latent))),
        figure(VOCODER, "waveform", decibels(reference.waveform, networks.vocode(reference.log_mel))),
        figure(CLIP, f"waveform after {reference.settings.steps} steps", decibels(reference.waveform[0], clip)),
    ]


def _reference_modulations(models: Models, features: torch.Tensor, settings: SamplerSettings) -> np.ndarray:
    denoiser = models.denoiser
    per_step = []
    for step in settings.solve():
        t = torch.tensor([step.timestep], dtype=torch.float32)
        conditions = torch.cat([denoiser.condition(t, branch) for branch in (features, None)])  # [2, D]
        per_step.append(denoiser.modulations(conditions).numpy())  # [2, M, D]
    return np.stack(per_step)


def _check_finite(reference: Reference) -> None:
    for name in ("features", "modulations", "latent", "log_mel", "waveform"):  # in the order of the way
        if not np.isfinite(getattr(reference, name)).all():
            raise ExportError(
                f"the PyTorch model itself gives a {name} that is not finite on this clip: check the weights"
            )
