"""Training the vocoder: a waveform must have the spectra of the original, at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.geometry import Geometry
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.model.mel import LogMel
from mdsgen.training.clips import as_float
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, check_crop, choose

SMOOTHED = "smoothed"
"""The source of spectrograms that are averaged over neighbouring bins and frames."""

_FLOOR = 1e-5  # of magnitudes, where their logarithm is taken
_MEL_WEIGHT = 20.0  # a spectrogram in 0..1 has errors far below those of logarithms


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder, spectrogram frames per training crop, and the windows of the loss in samples.

    ``smoothed`` of the crops are averaged over neighbouring bins and frames before the vocoder sees them: an
    autoencoder keeps the level of a noise, not its grain, and the vocoder has to make do with that.
    """

    width: int = 256
    depth: int = 5
    crop: int = 64
    smoothed: float = 0.5
    resolutions: tuple[int, ...] = (128, 512, 2048)


class VocoderStage(Stage):
    """Spectral convergence and log-magnitude error at every resolution, and the error of the log-mel spectrogram."""

    name = "vocoder"
    fields = ("log_mel", "sound")

    def __init__(self, geometry: Geometry, config: VocoderConfig) -> None:
        super().__init__()
        check_crop(config.crop, geometry)
        check_windows("resolutions", config.resolutions, config.crop, geometry)
        self.geometry, self.config = geometry, config
        self.vocoder = IstftVocoder(geometry.mel, config.width, config.depth)
        self.spectra = MultiResolutionStft(config.resolutions)
        self.mel = LogMel(geometry.mel)

    @property
    def network(self) -> IstftVocoder:
        return self.vocoder

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """``log_mel [B, crop, bins]`` and its ``sound`` int16 ``[B, crop · hop]``."""
        places = draw_places(clips, size, rng, self.config.crop, self.geometry)
        sources = [SMOOTHED if chance < self.config.smoothed else "log_mel" for chance in rng.random(size)]
        return crops(clips, places, sources, self.config.crop, self.geometry)

    def forward(self, log_mel: Tensor, sound: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        made = self.vocoder(log_mel)  # [B, samples]
        with torch.autocast(made.device.type, enabled=False):
            convergence, magnitude = self.spectra(made, sound)
            mel = F.l1_loss(self.mel(made), self.mel(sound))
        loss = convergence + magnitude + _MEL_WEIGHT * mel
        return {LOSS: loss, "convergence": convergence, "log_magnitude": magnitude, "decibels": 100.0 * mel}

    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray:
        """Spectrograms above those of the waveforms made from them."""
        return picture_of(self.vocoder, self.mel, clips.batch("log_mel", indices))


def draw_places(
    clips: Shards, size: int, rng: np.random.Generator, crop: int, geometry: Geometry
) -> list[tuple[int, int]]:
    """Clips and the first spectrogram frames of crops in them."""
    indices = choose(clips, size, rng)
    starts = rng.integers(geometry.mel_frames - crop + 1, size=size)
    return list(zip(indices, starts, strict=True))


def crops(
    clips: Shards, places: Sequence[tuple[int, int]], sources: Sequence[str], crop: int, geometry: Geometry
) -> dict[str, Tensor]:
    """At each place ``log_mel [B, crop, bins]`` of its source, and ``sound [B, crop · hop]``.

    A source is a field of spectrograms, or :data:`SMOOTHED`.
    """
    hop = geometry.mel.hop
    spectrograms = [
        clips.clip("log_mel" if source == SMOOTHED else source, i)[start : start + crop]
        for source, (i, start) in zip(sources, places, strict=True)
    ]
    log_mel = torch.from_numpy(np.stack(spectrograms)).float()  # [B, crop, bins]
    smooth = torch.tensor([source == SMOOTHED for source in sources])  # [B]
    sound = np.stack([clips.clip("sound", i)[start * hop : (start + crop) * hop] for i, start in places])
    return {
        "log_mel": torch.where(smooth[:, None, None], smoothed(log_mel), log_mel),
        "sound": torch.from_numpy(as_float(sound)),
    }


def check_windows(name: str, windows: Sequence[int], crop: int, geometry: Geometry) -> None:
    """Raise :class:`ValueError` where a crop of so many spectrogram frames has no spectrum of one of these windows."""
    longest = 2 * crop * geometry.mel.hop - 1  # a window is centred on every sample, mirrored at the ends
    if not windows or not all(4 <= fft <= longest for fft in windows):
        raise ValueError(f"{name} must be windows of 4 to {longest} samples, not {windows}")


@torch.no_grad()
def picture_of(vocoder: IstftVocoder, mel: LogMel, spectrograms: np.ndarray) -> np.ndarray:
    """``spectrograms [B, frames, bins]`` above those of the waveforms made from them, in grey values."""
    log_mel = torch.from_numpy(spectrograms).float().to(mel.window.device)
    back = mel(vocoder(log_mel))  # [B, frames, bins]
    rows = torch.cat([log_mel.transpose(1, 2).flip(1), back.transpose(1, 2).flip(1)], dim=1)
    return rows.flatten(0, 1).cpu().numpy()


def smoothed(log_mel: Tensor) -> Tensor:
    """The mean over five frames and three bins, ``[B, frames, bins]`` of both; onsets stay where they are."""
    return F.avg_pool2d(log_mel.unsqueeze(1), (5, 3), stride=1, padding=(2, 1), count_include_pad=False).squeeze(1)


class MultiResolutionStft(nn.Module):
    """How far two waveforms' spectra are apart (Yamamoto et al., "Parallel WaveGAN", 2020); hop: a quarter window.

    ``module(made, true)``, both ``[B, samples]``, returns spectral convergence (error over signal, Frobenius norms) and
    the mean absolute difference of log-magnitudes, each averaged over the resolutions.
    """

    def __init__(self, resolutions: Sequence[int]) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)

    def forward(self, made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        convergences, differences = [], []
        for fft in self.resolutions:
            window = torch.hann_window(fft, device=made.device)
            a, b = (magnitudes(x, fft, window) for x in (made, true))  # [B, bins, frames]
            error, signal = (b - a).flatten(1).norm(dim=1), b.flatten(1).norm(dim=1)
            convergences.append((error / signal.clamp(min=0.1)).mean())
            differences.append((a.log() - b.log()).abs().mean())
        return torch.stack(convergences).mean(), torch.stack(differences).mean()


def magnitudes(waveform: Tensor, fft: int, window: Tensor) -> Tensor:
    """The short-time spectrum of ``[B, samples]``, ``[B, bins, frames]``; hop: a quarter window."""
    spectrum = torch.stft(waveform, fft, fft // 4, window=window, return_complex=True)
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=_FLOOR**2).sqrt()
