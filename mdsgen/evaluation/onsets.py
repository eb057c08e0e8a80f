"""When something begins to sound: peaks of the spectral flux.

Blows come in all pitches and levels, so the flux is taken of a logarithmic mel spectrogram, band by band, and each band
is compared with the loudest of its neighbours shortly before: a ringing tone that trembles is no onset ("SuperFlux",
Böck & Widmer, DAFx 2013).
"""

from __future__ import annotations

import numpy as np

from mdsgen.evaluation.labels import TOGETHER
from mdsgen.evaluation.spectrogram import magnitudes, mel_filters
from mdsgen.geometry import SAMPLE_RATE, MelFormat

_FORMAT = MelFormat(bins=40, hop=160, fft=512, f_min=60.0, f_max=8000.0, scale="unit_db")
FLUX_RATE = SAMPLE_RATE / _FORMAT.hop
"""Values of a flux per second."""
_SOFT = 300.0  # log(1 + soft · magnitude): what is much quieter than 1 / soft does not count
_LAG = 3  # frames: half a window, over which a blow's energy comes up
_NEAR, _AROUND = 4, 20  # frames: a peak is the highest of its neighbours, and stands out of its surroundings
_LEAST, _SHARE, _ABOVE = 0.1, 0.08, 1.5  # tuned on scenes that nothing is evaluated on


def onsets(sound: np.ndarray) -> np.ndarray:
    """Seconds at which something begins in ``sound [samples]``, ascending."""
    flux = spectral_flux(sound)
    if not len(flux):
        return np.zeros(0)
    padded = np.pad(flux, _AROUND, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)  # [frames, 41]
    near = windows[:, _AROUND - _NEAR : _AROUND + _NEAR + 1]
    usual = np.median(windows, axis=1)
    least = np.maximum(_LEAST, _SHARE * np.quantile(flux, 0.995))
    peaks = np.flatnonzero((flux >= near.max(axis=1)) & (flux > least + _ABOVE * usual))
    kept: list[int] = []
    for peak in peaks:
        if not kept or (peak - kept[-1]) / FLUX_RATE >= TOGETHER:
            kept.append(int(peak))
    return np.array(kept, float) / FLUX_RATE


def spectral_flux(sound: np.ndarray) -> np.ndarray:
    """How much louder the bands become, float32 ``[samples // 160]``, 100 per second."""
    mel = band_levels(sound)  # [frames, bins]
    padded = np.pad(mel, ((0, 0), (1, 1)), mode="edge")
    widest = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    before = np.concatenate([np.repeat(widest[:1], _LAG, axis=0), widest[:-_LAG]])
    return np.asarray(np.maximum(mel - before, 0).mean(axis=1), np.float32)


def band_levels(sound: np.ndarray) -> np.ndarray:
    """How loud ``sound [samples]`` is in each of 40 bands, logarithmically: float32 ``[samples // 160, 40]``."""
    return np.asarray(np.log1p(_SOFT * magnitudes(sound, _FORMAT.fft, _FORMAT.hop) @ mel_filters(_FORMAT)))
