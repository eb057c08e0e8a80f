"""Waveform → log-mel spectrogram, in the two formats that the published autoencoders were trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.errors import TensorError
from mdsgen.geometry import SAMPLE_RATE, MelFormat

_FLOOR = 1e-5  # mel magnitudes are clamped here by both formats, so that silence has a logarithm


class LogMel(nn.Module):
    """The log-mel spectrogram of a waveform, ``[B, samples]`` → ``[B, samples // hop, bins]``.

    Both formats take magnitudes (not powers) under a periodic Hann window with the edges reflected, and librosa's
    default mel filters (Slaney scale, unit area). They differ in the scale, and in where a frame sits:

    - ``"ln"`` (AudioLDM, ``mel_spectrogram_train`` in its training code): HiFi-GAN's convention. Frame f is centred in
      the samples that the vocoder makes of it: at f·hop + hop/2.
    - ``"unit_db"`` (Diff-Foley, ``data_preprocess/wav2spec.py``): librosa's convention. Frame f is centred at f·hop.
      (Diff-Foley drops a recording's last sample before, which shows in the reflected edge: its last two frames.)
    """

    filters: Tensor
    window: Tensor

    def __init__(self, format: MelFormat) -> None:
        super().__init__()
        self.format = format
        self.register_buffer("filters", _mel_filters(format), persistent=False)
        self.register_buffer("window", torch.hann_window(format.fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        hop, fft = self.format.hop, self.format.fft
        before = (fft - hop) // 2 if self.format.scale == "ln" else fft // 2
        after = fft - before
        if waveform.dim() != 2 or waveform.shape[1] <= after:
            raise TensorError(f"expected a waveform [B, more than {after} samples], got {list(waveform.shape)}")
        padded = F.pad(waveform, (before, after), mode="reflect")
        spectrum = torch.stft(padded, fft, hop, window=self.window, center=False, return_complex=True)
        frames = waveform.shape[1] // hop
        magnitude = spectrum.abs()[..., :frames]  # [B, fft/2 + 1, frames]
        mel = magnitude.transpose(1, 2) @ self.filters  # [B, frames, bins]
        return self._scale(mel.clamp(min=_FLOOR))

    def _scale(self, mel: Tensor) -> Tensor:
        if self.format.scale == "ln":
            return mel.log()
        return ((20 * mel.log10() - 20 + 100) / 100).clamp(0, 1)


def _mel_filters(format: MelFormat) -> Tensor:
    """Triangular filters ``[fft/2 + 1, bins]``, equal to ``librosa.filters.mel`` transposed."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=format.fft // 2 + 1,
        num_mel_filters=format.bins,
        min_frequency=format.f_min,
        max_frequency=format.f_max,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).float()
