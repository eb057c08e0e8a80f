"""Waveform → log-mel spectrogram in NumPy alone, equal to :class:`mdsgen.model.mel.LogMel` in its "unit_db" format.

The judge hears through this, so that a bundle can be evaluated where PyTorch is not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mdsgen.errors import TensorError
from mdsgen.geometry import DEMO, SAMPLE_RATE, MelFormat

_FLOOR = 1e-5  # mel magnitudes are clamped here, so that silence has a logarithm
# The Slaney scale: linear up to 1000 Hz, 27 steps per factor of 6.4 above (Slaney, "Auditory toolbox", 1998).
_BREAK, _LINEAR, _STEP = 1000.0, 200.0 / 3.0, float(np.log(6.4)) / 27.0


def log_mel(sound: np.ndarray, format: MelFormat = DEMO.mel) -> np.ndarray:
    """``[samples]`` in -1..1 → float32 ``[samples // hop, bins]`` in 0..1, 100 dB wide.

    Frame f is centred at f·hop, edges are reflected, the window is Hann's.
    """
    if sound.ndim != 1 or len(sound) <= format.fft // 2:
        raise TensorError(f"expected a sound of more than {format.fft // 2} samples, got {list(sound.shape)}")
    mel = magnitudes(sound, format.fft, format.hop) @ mel_filters(format)  # [frames, bins]
    decibels = 20 * np.log10(np.maximum(mel, _FLOOR))
    return np.asarray(np.clip((decibels - 20 + 100) / 100, 0, 1), np.float32)


def magnitudes(sound: np.ndarray, fft: int, hop: int) -> np.ndarray:
    """The short-time spectrum of ``sound [samples]``: float32 ``[samples // hop, fft/2 + 1]``."""
    padded = np.pad(np.asarray(sound, np.float32), fft // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop][: len(sound) // hop]  # [frames, fft]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)  # periodic
    return np.abs(np.fft.rfft(windows * hann.astype(np.float32))).astype(np.float32)


@lru_cache(maxsize=4)
def mel_filters(format: MelFormat) -> np.ndarray:
    """Triangles of unit area on the Slaney scale, as librosa has them: float32 ``[fft/2 + 1, bins]``."""
    tones = np.linspace(0, SAMPLE_RATE / 2, format.fft // 2 + 1)[:, np.newaxis]
    corners = _to_hertz(np.linspace(_to_mel(format.f_min), _to_mel(format.f_max), format.bins + 2))
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]  # [bins] each
    triangles = np.minimum((tones - low) / (centre - low), (high - tones) / (high - centre))
    return np.asarray(np.maximum(triangles, 0) * 2 / (high - low), np.float32)


def mel_places(hertz: np.ndarray, format: MelFormat) -> np.ndarray:
    """How high tones are in a spectrogram of this format, 0..1 from its lowest to its highest: ``[tones]`` each."""
    low, high = _to_mel(format.f_min), _to_mel(format.f_max)
    return np.array([(_to_mel(tone) - low) / (high - low) for tone in hertz])


def _to_mel(hertz: float) -> float:
    if hertz < _BREAK:
        return hertz / _LINEAR
    return float(_BREAK / _LINEAR + np.log(hertz / _BREAK) / _STEP)


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    above = _BREAK * np.exp(_STEP * (mel - _BREAK / _LINEAR))
    return np.where(mel < _BREAK / _LINEAR, mel * _LINEAR, above)
