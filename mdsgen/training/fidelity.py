"""How much of a sound survives the audio networks, on scenes that no training has seen.

The yardstick is Griffin-Lim (1984), which needs no training: the least magnitudes that explain the spectrogram, and a
phase found by going back and forth between spectrum and sound (with the momentum of Perraudin et al., 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mdsgen.model.compact_codec import CompactCodec
from mdsgen.model.mel import LogMel
from mdsgen.report import Pace, Report
from mdsgen.scenes import sample_scene
from mdsgen.table import aligned
from mdsgen.training.vocoding import MultiResolutionStft

RESOLUTIONS = (256, 512, 1024, 2048)
_ITERATIONS, _MOMENTUM = 60, 0.99


@dataclass(frozen=True)
class Fidelity:
    """Means over all scenes.

    ``decibels`` is the absolute difference of two log-mel spectrograms, ``distance`` the multi-resolution STFT distance
    (spectral convergence plus log-magnitude) of two waveforms, each to the scene's own sound. ``both`` is what went
    through the autoencoder before.
    """

    autoencoder_decibels: float
    vocoder_decibels: float
    vocoder_distance: float
    both_decibels: float
    both_distance: float
    griffin_lim_decibels: float
    griffin_lim_distance: float
    both_griffin_lim_decibels: float
    both_griffin_lim_distance: float

    def table(self) -> str:
        """The figures as they are printed."""
        rows = [
            ("autoencoder", self.autoencoder_decibels, None),
            ("vocoder", self.vocoder_decibels, self.vocoder_distance),
            ("Griffin-Lim instead", self.griffin_lim_decibels, self.griffin_lim_distance),
            ("autoencoder and vocoder", self.both_decibels, self.both_distance),
            ("autoencoder and Griffin-Lim", self.both_griffin_lim_decibels, self.both_griffin_lim_distance),
        ]
        words = ((name, f"{error:.2f}", "" if far is None else f"{far:.3f}") for name, error, far in rows)
        return aligned([("through", "mel error dB", "STFT distance"), *words], figures=True)


@torch.no_grad()
def measure_fidelity(codec: CompactCodec, seeds: Sequence[int], report: Report) -> Fidelity:
    """Send the sound of every scene through the networks and through Griffin-Lim."""
    spectra, rows, pace = MultiResolutionStft(RESOLUTIONS), [], Pace()
    for number, seed in enumerate(seeds, 1):
        sound = torch.from_numpy(sample_scene(seed, duration=codec.geometry.duration).sound())[None]
        mel = codec.log_mel(sound)  # [1, frames, bins]
        back = codec.decode(codec.encode(mel))

        def compare(made: Tensor, mel: Tensor = mel, sound: Tensor = sound) -> tuple[float, float]:
            convergence, magnitude = spectra(made, sound)
            return _decibels(codec.log_mel(made), mel), float(convergence + magnitude)

        made = [codec.vocode(mel), codec.vocode(back), griffin_lim(mel, codec.mel), griffin_lim(back, codec.mel)]
        rows.append([_decibels(back, mel), *(figure for sound_made in made for figure in compare(sound_made))])
        report(pace.line(number, len(seeds), "scenes measured"))
    return Fidelity(*torch.tensor(rows).mean(dim=0).tolist())


def griffin_lim(log_mel: Tensor, mel: LogMel) -> Tensor:
    """A waveform with about this spectrogram, ``[B, frames, bins] -> [B, frames · hop]``, for the "unit_db" scale."""
    fft, hop = mel.format.fft, mel.format.hop
    magnitudes = 10.0 ** ((100.0 * log_mel - 80.0) / 20.0)  # [B, frames, bins]
    linear = (magnitudes @ torch.linalg.pinv(mel.filters)).clamp(min=0.0)  # [B, frames, fft/2 + 1]
    target = F.pad(linear.mT, (0, 1), mode="replicate")  # the frame after the last, which centred windows have
    window, length = torch.hann_window(fft), log_mel.shape[1] * hop
    phase = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
    spectrum, before = torch.polar(target, phase), torch.zeros_like(target, dtype=torch.complex64)
    for _ in range(_ITERATIONS):
        sound = torch.istft(spectrum, fft, hop, window=window, length=length)
        rebuilt = torch.stft(sound, fft, hop, window=window, return_complex=True)
        ahead = rebuilt + _MOMENTUM * (rebuilt - before)
        spectrum, before = target * torch.exp(1j * ahead.angle()), rebuilt
    return torch.istft(spectrum, fft, hop, window=window, length=length)


def _decibels(a: Tensor, b: Tensor) -> float:
    """The mean absolute difference of two "unit_db" spectrograms, whose unit is 100 dB."""
    return 100.0 * float((a - b).abs().mean())
