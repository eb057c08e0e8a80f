"""The log-mel spectrograms against a NumPy reference written from their definitions, and what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import TensorError
from mdsgen.geometry import PAPER, RELEASE, SAMPLE_RATE, Geometry, MelFormat
from mdsgen.model.mel import LogMel

GEOMETRIES = pytest.mark.parametrize("geometry", [PAPER, RELEASE], ids=lambda geometry: geometry.name)


def slaney_to_hertz(mel: np.ndarray) -> np.ndarray:
    """Slaney's scale: 3 mel are 200 Hz up to 1000 Hz, from there 27 mel are a factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def hertz_to_slaney(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def centres(mel: MelFormat) -> np.ndarray:
    """Lower end, centre and upper end of the triangles, in Hz: ``bins + 2`` frequencies."""
    return slaney_to_hertz(np.linspace(hertz_to_slaney(mel.f_min), hertz_to_slaney(mel.f_max), mel.bins + 2))


def reference(waveform: np.ndarray, mel: MelFormat, before: int) -> np.ndarray:
    """Frame by frame, from the definitions. ``before``: samples of the first window that lie before the waveform."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.fft) / mel.fft)
    padded = np.pad(waveform, mel.fft, mode="reflect")[mel.fft - before :]
    frames = [padded[f * mel.hop :][: mel.fft] * window for f in range(len(waveform) // mel.hop)]
    magnitude = np.abs(np.fft.rfft(frames))
    low, centre, high = (centres(mel)[i : i + mel.bins, None] for i in range(3))
    frequency = np.fft.rfftfreq(mel.fft, 1 / SAMPLE_RATE)
    triangles = np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clip(0)
    return magnitude @ (triangles * 2 / (high - low)).T


def noise(samples: int) -> np.ndarray:
    """Noise that swells: from silence, below the floor, to full scale."""
    return np.random.default_rng(0).standard_normal(samples) * np.geomspace(1e-7, 0.5, samples)


def log_mel(waveform: np.ndarray, mel: MelFormat) -> np.ndarray:
    return LogMel(mel)(torch.from_numpy(waveform).float()[None])[0].numpy()


def test_release_is_audioldms_transform() -> None:
    waveform = noise(RELEASE.samples)
    magnitude = reference(waveform, RELEASE.mel, before=(1024 - 160) // 2)
    np.testing.assert_allclose(log_mel(waveform, RELEASE.mel), np.log(np.maximum(magnitude, 1e-5)), atol=1e-4)


def test_paper_is_diff_foleys_transform() -> None:
    waveform = noise(PAPER.samples)
    decibel = 20 * np.log10(np.maximum(reference(waveform, PAPER.mel, before=512), 1e-5))
    np.testing.assert_allclose(log_mel(waveform, PAPER.mel), np.clip((decibel - 20 + 100) / 100, 0, 1), atol=1e-5)


@GEOMETRIES
def test_a_window_has_the_geometrys_frames_and_bins(geometry: Geometry) -> None:
    waveform = torch.zeros(2, geometry.samples)
    assert LogMel(geometry.mel)(waveform).shape == (2, geometry.mel_frames, geometry.mel.bins)


@settings(max_examples=20)
@given(samples=st.integers(600, 5000), geometry=st.sampled_from([PAPER, RELEASE]))
def test_every_whole_hop_is_one_frame(samples: int, geometry: Geometry) -> None:
    assert LogMel(geometry.mel)(torch.zeros(1, samples)).shape[1] == samples // geometry.mel.hop


@GEOMETRIES
@pytest.mark.parametrize("hertz", [300.0, 1000.0, 5000.0])
def test_a_tone_lands_in_its_bin(geometry: Geometry, hertz: float) -> None:
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(geometry.samples) / SAMPLE_RATE)
    nearest = np.abs(centres(geometry.mel)[1:-1] - hertz).argmin()
    loudest = log_mel(tone, geometry.mel)[10:-10].argmax(axis=1)
    assert np.abs(loudest - nearest).max() <= 1


@pytest.mark.parametrize(
    ("geometry", "offset"), [(PAPER, 0), (RELEASE, RELEASE.mel.hop // 2)], ids=["paper", "release"]
)
def test_a_click_is_loudest_in_the_frame_around_it(geometry: Geometry, offset: int) -> None:
    waveform = np.zeros(geometry.samples)
    waveform[100 * geometry.mel.hop + offset] = 1
    assert log_mel(waveform, geometry.mel).mean(axis=1).argmax() == 100


@pytest.mark.parametrize(("geometry", "floor"), [(PAPER, 0.0), (RELEASE, math.log(1e-5))], ids=["paper", "release"])
def test_silence_is_the_floor(geometry: Geometry, floor: float) -> None:
    silence = log_mel(np.zeros(geometry.samples), geometry.mel)
    np.testing.assert_allclose(silence, floor, rtol=1e-6)


def test_a_loud_signal_is_clipped_at_one_in_the_papers_scale() -> None:
    assert log_mel(100 * noise(PAPER.samples), PAPER.mel).max() == 1


def test_holds_no_weights_of_its_own() -> None:
    assert not LogMel(PAPER.mel).state_dict()


@pytest.mark.parametrize("shape", [(20_000,), (1, 500), (1, 1, 20_000)])
def test_refuses_what_is_no_batch_of_waveforms(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match="expected a waveform"):
        LogMel(RELEASE.mel)(torch.zeros(shape))
