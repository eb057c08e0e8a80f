"""Sounds without a pitch: noise of any spectrum and envelope, grains; and the slow curves that drive them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes.truth import INTENSITY_RATE

Spectrum = Callable[[np.ndarray], np.ndarray]
"""Gain of each frequency in Hz."""


def shaped(rng: np.random.Generator, samples: int, spectrum: Spectrum) -> np.ndarray:
    """Noise of that spectrum and of RMS 1, float32 ``[samples]``."""
    length = 1 << (samples - 1).bit_length()
    noise = np.fft.rfft(rng.standard_normal(length, dtype=np.float32))
    sound = np.fft.irfft(noise * spectrum(_frequencies(length)), length)[:samples].astype(np.float32)
    return np.asarray(sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9), dtype=np.float32)


def band(low: float, high: float) -> Spectrum:
    """A band-pass from ``low`` to ``high`` Hz with slopes of 12 dB per octave."""

    def gain(frequency: np.ndarray) -> np.ndarray:
        ratio = np.maximum(frequency, 1.0)
        return np.asarray(1 / ((1 + (low / ratio) ** 2) * (1 + (ratio / high) ** 2)), dtype=np.float32)

    return gain


def bursts(times: np.ndarray, strengths: np.ndarray, rise: float, fall: float, samples: int) -> np.ndarray:
    """Envelope of noise bursts, float32 ``[samples]``: each rises within ``rise`` and fades with ``fall`` seconds."""
    envelope = np.zeros(samples, dtype=np.float32)
    age = np.arange(int((rise + 7 * fall) * SAMPLE_RATE)) / SAMPLE_RATE
    shape = (np.minimum(age / rise, 1.0) * np.exp(-np.maximum(age - rise, 0.0) / fall)).astype(np.float32)
    for time, strength in zip(times, strengths, strict=True):
        first = round(time * SAMPLE_RATE)
        if 0 <= first < samples:
            length = min(shape.size, samples - first)
            envelope[first : first + length] += np.float32(strength) * shape[:length]
    return envelope


def curve(rng: np.random.Generator, duration: float, low: float, high: float, rate: float = 0.5) -> np.ndarray:
    """A slow random curve between ``low`` and ``high``, float32, ``INTENSITY_RATE`` values per second.

    It passes through ``rate`` random levels per second, with soft turns and some plateaus.
    """
    knots = int(duration * rate) + 3
    levels = rng.uniform(low, high, knots)
    held = rng.random(knots) < 0.3
    held[0] = False
    for index in np.flatnonzero(held):
        levels[index] = levels[index - 1]
    position = np.arange(int(np.ceil(duration * INTENSITY_RATE)) + 1) / INTENSITY_RATE * rate + rng.random()
    left = position.astype(int)
    step = position - left
    soft = step * step * (3 - 2 * step)
    return np.asarray(levels[left] * (1 - soft) + levels[left + 1] * soft, dtype=np.float32)


def at(values: np.ndarray, time: float) -> float:
    """An intensity curve's value at ``time``."""
    return float(values[min(max(round(time * INTENSITY_RATE), 0), len(values) - 1)])


def stretched(values: np.ndarray, samples: int) -> np.ndarray:
    """An intensity curve at the sample rate, float32 ``[samples]``."""
    position = np.arange(samples, dtype=np.float64) * (INTENSITY_RATE / SAMPLE_RATE)
    return np.asarray(np.interp(position, np.arange(len(values)), values), dtype=np.float32)


def poisson(rng: np.random.Generator, intensity: np.ndarray, highest: float) -> np.ndarray:
    """Times in seconds of random events whose rate is ``highest`` per second × the curve ``intensity``."""
    duration = (len(intensity) - 1) / INTENSITY_RATE
    count = rng.poisson(highest * duration)
    times = np.sort(rng.uniform(0.0, duration, count))
    chance = np.interp(times * INTENSITY_RATE, np.arange(len(intensity)), intensity)
    return np.asarray(times[rng.random(count) < chance])


def _frequencies(length: int) -> np.ndarray:
    return np.arange(length // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE / length)
