"""A bundle's graphs against what they were made from, on a real clip: every graph on its own, then the whole way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mdsgen.bundle import (
    CONDITIONING,
    DENOISER,
    LATENT_DECODER,
    VIDEO_ENCODER,
    VOCODER,
)
from mdsgen.errors import ExportError, NotFiniteError
from mdsgen.geometry import Geometry
from mdsgen.parity import Parity, snr_db
from mdsgen.precision import CLIP, SPECTROGRAM, Thresholds
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.sampler import Estimates, seeded_noise, solve
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.runtime.window_generator import WindowGenerator
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

_COMPARED_STEPS = 3  # the first, the middle and the last latent of the trajectory

Estimate = Callable[[np.ndarray, int], np.ndarray]
"""``estimate(latent [1, C, H, W], step) -> [branches, C, H, W]``, noise or velocity: an array that its caller may
keep. The conditional branch comes first, and may be the only one."""


class Conditioner(Protocol):
    """What tells a denoiser of a clip."""

    geometry: Geometry
    schedule: NoiseSchedule

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [F, 3, size, size]`` -> features ``[1, F, 512]``."""

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """``features``, ``timesteps [steps]`` -> modulations ``[steps, 2, V, D]``."""


class Original(Conditioner, Protocol):
    """The networks that a bundle's graphs are compared with."""

    name: str
    """What messages call them."""

    def denoiser(self, features: np.ndarray, timesteps: np.ndarray) -> Estimate:
        """The denoiser of all steps, for a clip of these features."""

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """``latent [1, C, H, W]`` -> log-mel spectrogram ``[1, frames, bins]``."""

    def vocode(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram -> waveform ``[1, samples]``."""


@dataclass(frozen=True)
class Reference:
    """What the original networks make of one clip, stage by stage, as NumPy arrays."""

    frames: np.ndarray  # [F, 3, size, size]
    noise: np.ndarray  # [1, C, H, W]
    sampling: Sampling
    timesteps: np.ndarray  # [steps]
    features: np.ndarray  # [1, F, 512]
    modulations: np.ndarray  # [steps, 2, V, D]
    trajectory: list[tuple[int, np.ndarray, np.ndarray]]  # step, latent [1, C, H, W], estimates [2, C, H, W]
    latent: np.ndarray  # [1, C, H, W]
    log_mel: np.ndarray  # [1, frames, bins]
    waveform: np.ndarray  # [1, samples]


def run_reference(original: Original, frames: np.ndarray, sampling: Sampling, seed: int = 0) -> Reference:
    """Run the original networks over a whole clip, sampled as ``sampling`` says, all branches in every step.

    Raises :class:`ExportError` where they give what is not finite: nothing could be compared with that.
    """
    # As the bundle samples, but for its saving: an unconditional branch that is kept for some steps says nothing of a
    # graph, and the originals give both branches in every step.
    sampling = sampling.changed(unconditional_every=1)
    plan, noise = plan_steps(sampling, original.schedule), seeded_noise(original.geometry, seed)
    timesteps = timesteps_of(plan)
    features = original.encode(frames)  # [1, F, 512]
    estimate = original.denoiser(features, timesteps)
    compared = set(np.linspace(0, sampling.steps - 1, _COMPARED_STEPS).astype(int))
    trajectory: list[tuple[int, np.ndarray, np.ndarray]] = []

    def observed(latent: np.ndarray, step: int) -> Estimates:
        both = estimate(latent, step)  # [2, C, H, W]
        if step in compared:
            trajectory.append((step, latent.copy(), both))
        return both[:1], both[-1:]

    latent = solve(noise, plan, observed)
    log_mel = original.decode(latent)
    reference = Reference(
        frames=frames,
        noise=noise,
        sampling=sampling,
        timesteps=timesteps,
        features=features,
        modulations=original.condition(features, timesteps),
        trajectory=trajectory,
        latent=latent,
        log_mel=log_mel,
        waveform=original.vocode(log_mel),
    )
    _check_finite(original.name, reference)
    return reference


def compare(networks: Networks, reference: Reference, thresholds: Thresholds) -> list[Parity]:
    """All figures of a bundle's networks, worst case per graph; nothing is raised for a poor one."""

    def figure(graph: str, what: str, value: float) -> Parity:
        return Parity(graph, what, value, thresholds.of(graph))

    def noise(step: int, latent: np.ndarray, like: np.ndarray) -> float:
        given = _given(lambda: noise_of(networks, latent, reference.modulations[step]), like[: networks.branches])
        return snr_db(like[: networks.branches], given)

    worst = min(noise(step, latent, like) for step, latent, like in reference.trajectory)
    features = _given(lambda: networks.encode(reference.frames), reference.features)  # [1, F, 512]
    modulations = _given(lambda: networks.condition(reference.features, reference.timesteps), reference.modulations)
    decoded = _given(lambda: networks.decode(reference.latent), reference.log_mel)
    vocoded = _given(lambda: networks.vocode(reference.log_mel), reference.waveform)
    try:
        log_mel, waveform = _clip(networks, reference, features)
    except NotFiniteError:
        log_mel, waveform = _no_numbers(reference.log_mel), _no_numbers(reference.waveform)
    after = f"after {reference.sampling.steps} steps"
    return [
        figure(VIDEO_ENCODER, "features of the clip", snr_db(reference.features, features)),
        figure(CONDITIONING, "modulations of all steps", snr_db(reference.modulations, modulations)),
        figure(DENOISER, f"{networks.schedule.target} at {len(reference.trajectory)} steps, worst", worst),
        figure(LATENT_DECODER, "log-mel spectrogram", snr_db(reference.log_mel, decoded)),
        figure(VOCODER, "waveform", snr_db(reference.waveform, vocoded)),
        figure(SPECTROGRAM, f"log-mel spectrogram {after}", snr_db(reference.log_mel, log_mel)),
        figure(CLIP, f"waveform {after}", snr_db(reference.waveform, waveform)),
    ]


def _given(run: Callable[[], np.ndarray], like: np.ndarray) -> np.ndarray:
    """What a network gives, which is refused elsewhere where it is not finite: here that is a figure among others."""
    try:
        return run()
    except NotFiniteError:
        return _no_numbers(like)


def _no_numbers(like: np.ndarray) -> np.ndarray:
    return np.full(like.shape, np.nan, np.float32)


def noise_of(networks: Networks, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
    """``latent [1, C, H, W]``, ``modulations [2, V, D]`` -> the noise of as many branches as the networks compute."""
    if networks.branches == 1:
        return networks.denoise_conditional(latent, modulations)
    return np.concatenate(networks.denoise(latent, modulations))


def _clip(networks: Networks, reference: Reference, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel ``[1, frames, bins]`` and waveform ``[1, samples]`` of the networks' own features and the same noise."""
    modulations = networks.condition(features, reference.timesteps)  # [steps, 2, V, D]
    latent = WindowGenerator(networks, reference.sampling).denoise(reference.noise, modulations)  # [1, C, H, W]
    log_mel = networks.decode(latent)
    return log_mel, networks.vocode(log_mel)


def _check_finite(name: str, reference: Reference) -> None:
    for what in ("features", "modulations", "latent", "log_mel", "waveform"):  # in the order of the way
        if not np.isfinite(getattr(reference, what)).all():
            raise ExportError(f"{name} itself gives a {what} that is not finite on this clip: check the weights")
