"""Modal synthesis: a struck body is a sum of decaying sinusoids, set going by a short push.

Sources: van den Doel & Pai, "The sounds of physical shapes", 1998 (modes, gains, decay by material; contact force as a
raised cosine, whose length low-passes); Fletcher & Rossing, "The physics of musical instruments", 1998 (mode ratios of
bars, membranes and bells; for bodies of one shape and material, frequency is proportional to 1 / size); Hertz for the
time of contact, proportional to radius and to ``speed ** -0.2``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes.material import Material

RATIOS = {
    "shell": (1.0, 1.42, 1.85, 2.32, 2.84, 3.41, 4.05, 4.80, 5.70, 6.90),
    "bar": (1.0, 2.756, 5.404, 8.933, 13.34),
    "bell": (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33, 6.6),
    "membrane": (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5, 3.6, 4.06),
}
"""Frequencies of a shape's modes over that of its first."""
PITCH = {"shell": 0.030, "bar": 0.060, "bell": 0.048, "membrane": 0.030}
"""A shape's first frequency is this × speed of sound / its size: walls and bars as thick as they usually are."""

_HIGHEST = 0.46 * SAMPLE_RATE
_SILENT = 6.9  # nepers: -60 dB
_BLOCK = 256


@dataclass(frozen=True)
class Modes:
    """Frequencies in Hz, decays in 1/s and gains, each ``[modes]``. The gains' magnitudes sum to 1."""

    frequency: np.ndarray
    decay: np.ndarray
    gain: np.ndarray

    @property
    def pitch(self) -> np.ndarray:
        """The lowest frequency, ``[1]``."""
        return self.frequency[:1]

    def ring(self, samples: int) -> np.ndarray:
        """The answer to a unit push, float32 ``[samples]`` or shorter: it ends where it is 60 dB down.

        Powers of one complex number per mode: sample ``256 a + b`` is the real part of ``z**(256 a) * z**b``, so the
        sum over the modes is one matrix product.
        """
        length = min(samples, int(_SILENT / self.decay.min() * SAMPLE_RATE) + 1)
        pole = (2j * np.pi * self.frequency - self.decay) / SAMPLE_RATE  # [modes]
        start = -1j * self.gain  # sines: they start from rest
        coarse = start * np.exp(np.arange(0, length, _BLOCK)[:, np.newaxis] * pole)  # [blocks, modes]
        fine = np.exp(pole[:, np.newaxis] * np.arange(_BLOCK))  # [modes, 256]
        left = np.concatenate([coarse.real, -coarse.imag], axis=1, dtype=np.float32)
        right = np.concatenate([fine.real, fine.imag], axis=0, dtype=np.float32)
        return np.asarray(left @ right).reshape(-1)[:length]


def body(shape: str, material: Material, size: float, rng: np.random.Generator) -> Modes:
    """The modes of a body that is ``size`` metres across. Where it is struck and its small flaws come from ``rng``."""
    first = PITCH[shape] * material.speed / size
    return _modes(shape, first, lambda frequency: 2.0 + np.pi * frequency * material.loss, rng)


def membrane(size: float, rng: np.random.Generator) -> Modes:
    """The modes of a drum's skin: tension decides, not material, and the air takes the sound away quickly."""
    return _modes("membrane", 48.0 / size, lambda frequency: 5.0 + 0.035 * frequency, rng)


def pulses(times: np.ndarray, strengths: np.ndarray, contacts: np.ndarray, samples: int) -> np.ndarray:
    """Pushes, float32 ``[samples]``: raised cosines of area ``strengths`` from ``times`` on, ``contacts`` long.

    All three are ``[events]``, times and contacts in seconds. A longer contact excites fewer high modes.
    """
    force = np.zeros(samples + 1, dtype=np.float32)  # the last one takes what lies outside
    width = np.maximum(contacts * SAMPLE_RATE, 2.0)  # [events], in samples
    steps = np.arange(int(width.max(initial=2.0)) + 2)
    at = np.floor(times * SAMPLE_RATE).astype(int)[:, np.newaxis] + steps  # [events, steps]
    phase = (at - times[:, np.newaxis] * SAMPLE_RATE) / width[:, np.newaxis]
    push = np.where((phase > 0) & (phase < 1), 1 - np.cos(2 * np.pi * phase), 0.0)
    push *= (strengths / np.maximum(push.sum(axis=1), 1e-9))[:, np.newaxis]
    np.add.at(force, np.where((at >= 0) & (at < samples), at, samples), push)
    return force[:-1]


def convolve(force: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """``force [samples]`` heard through ``ring``, float32 ``[samples]``."""
    length = 1 << (force.size + ring.size - 2).bit_length()
    spectrum = np.fft.rfft(force, length) * np.fft.rfft(ring, length)
    return np.asarray(np.fft.irfft(spectrum, length)[: force.size], dtype=np.float32)


def _modes(shape: str, first: float, decay: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator) -> Modes:
    ratios = np.asarray(RATIOS[shape])
    frequency = first * ratios * (1 + 0.006 * rng.standard_normal(ratios.size))
    gain = rng.uniform(0.5, 1.0, ratios.size) / np.sqrt(ratios)
    heard = frequency < max(_HIGHEST, frequency[0] + 1)
    frequency, gain = np.minimum(frequency[heard], _HIGHEST), gain[heard]
    return Modes(frequency, decay(frequency), gain / gain.sum())
