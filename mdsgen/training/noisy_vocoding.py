"""Teaching a trained vocoder to hiss: its sound must pass for real, no longer have the very spectra of the original.

Of noise nobody can foresee the spectra. Losses that compare them reward the smoothest guess, which repeats itself at
the vocoder's hop and is heard as a buzz. Here discriminators judge the grain, spectrograms only the level, and spectra
are compared where they stand out of their surroundings, as tones and blows do and noise hardly ever. How much louder
the sound becomes from moment to moment, over all bands, must be as much as in the original: noise always does a little
and so does noise of another grain, but a tone that dies away does not, and where it trembles one hears a blow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdsgen.geometry import Geometry
from mdsgen.model.istft_vocoder import EXTRA_FRAMES, IstftVocoder
from mdsgen.model.mel import LogMel
from mdsgen.training.decoding import GENERATED, RECONSTRUCTED
from mdsgen.training.discriminators import Discriminators
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, check_crop, generator_from
from mdsgen.training.vocoding import SMOOTHED, check_windows, crops, draw_places, magnitudes, picture_of, smoothed

_STANDS_OUT = 2.5  # times the mean around it: of noise, one value in a hundred
_AROUND = 15  # bins or frames
_EDGE = 2  # frames at either end of a crop whose window reaches beyond it


@dataclass(frozen=True)
class NoisyVocoderConfig:
    """Sizes, which are those of the vocoder that it begins with, spectrogram frames per crop, and the losses.

    Crops come as they are, ``smoothed`` of them averaged over neighbouring bins and frames, ``reconstructed`` of them
    by the autoencoder, and ``generated`` of them by the denoiser. ``windows`` are the discriminators', in samples,
    ``channels`` their width. The weights are those of the log-mel spectrogram, of matched features, of spectral
    peaks and of spectral flux beside the discriminators' own 1.
    """

    width: int = 256
    depth: int = 5
    crop: int = 64
    smoothed: float = 0.2
    reconstructed: float = 0.2
    generated: float = 0.3
    windows: tuple[int, ...] = (256, 1024, 2048)
    channels: int = 16
    mel_weight: float = 20.0
    feature_weight: float = 2.0
    peak_weight: float = 2.0
    flux_weight: float = 60.0

    def __post_init__(self) -> None:
        shares = (self.smoothed, self.reconstructed, self.generated)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"smoothed, reconstructed and generated must be shares of 1, not {shares}")


class NoisyVocoderStage(Stage):
    """Hinge losses and matched features of small discriminators, and the error of the log-mel spectrogram."""

    name = "noisy_vocoder"
    fields = ("sound", "log_mel", RECONSTRUCTED, GENERATED)

    def __init__(self, geometry: Geometry, config: NoisyVocoderConfig) -> None:
        super().__init__()
        check_crop(config.crop, geometry)
        if config.crop <= 2 * _EDGE:
            raise ValueError(f"crop must be more than {2 * _EDGE} spectrogram frames, not {config.crop}")
        check_windows("windows", config.windows, config.crop, geometry)
        self.geometry, self.config = geometry, config
        self.vocoder = IstftVocoder(geometry.mel, config.width, config.depth, noise_frames=geometry.mel_frames)
        self.discriminators = Discriminators(config.windows, config.channels)
        self.mel = LogMel(geometry.mel)

    @property
    def network(self) -> IstftVocoder:
        return self.vocoder

    def take(self, folder: Path) -> None:
        """Begin with the vocoder that was trained in ``folder``."""
        from mdsgen.training.trained import load_vocoder

        self.vocoder.begin_with(load_vocoder(folder / "vocoder"))

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """``log_mel [B, crop, bins]``, ``sound [B, crop · hop]`` and ``noise [B, 2, crop + 4, fft/2 + 1]``.

        ``grained [B]``: the spectrogram has the grain of the sound. ``paired [B]``: it is of this very sound. The noise
        is another for every crop, so that nothing is learned of the fixed one.
        """
        crop, bins = self.config.crop, self.geometry.mel.fft // 2 + 1
        places = draw_places(clips, size, rng, crop, self.geometry)
        sources = self._sources(rng.random(size))
        return {
            **crops(clips, places, sources, crop, self.geometry),
            "noise": torch.randn(size, 2, crop + EXTRA_FRAMES, bins, generator=generator_from(rng)),
            "grained": torch.tensor([source == "log_mel" for source in sources]),
            "paired": torch.tensor([source != GENERATED for source in sources]),
        }

    def _sources(self, chances: np.ndarray) -> list[str]:
        """Where each spectrogram comes from, for numbers of 0..1."""
        ends = np.cumsum([self.config.smoothed, self.config.reconstructed, self.config.generated])
        names = (SMOOTHED, RECONSTRUCTED, GENERATED, "log_mel")
        return [names[place] for place in np.searchsorted(ends, chances, side="right")]

    def forward(  # type: ignore[override]
        self, log_mel: Tensor, sound: Tensor, noise: Tensor, grained: Tensor, paired: Tensor
    ) -> dict[str, Tensor]:
        made = self.vocoder(log_mel, noise.transpose(0, 1))  # [B, samples]
        judgement = self.discriminators(made, sound, paired)
        with torch.autocast(made.device.type, enabled=False):
            made_mel, real_mel = self.mel(made), self.mel(sound)  # [B, crop, bins]
            mel = _mel_error(made_mel, torch.where(paired[:, None, None], real_mel, log_mel), grained)
            flux = flux_error(made_mel, real_mel, paired)
            peaks = torch.stack([peak_error(made, sound, paired, fft) for fft in self.config.windows]).mean()
        config = self.config
        of_vocoder = judgement.vocoder + config.feature_weight * judgement.features
        of_vocoder = of_vocoder + config.mel_weight * mel + config.peak_weight * peaks
        of_vocoder = of_vocoder + config.flux_weight * flux
        parts = {"judged": judgement.discriminators, "taken_for_real": -judgement.vocoder}
        loss = of_vocoder + judgement.discriminators
        return {
            LOSS: loss,
            **parts,
            "features": judgement.features,
            "peaks": peaks,
            "flux": flux,
            "decibels": 100.0 * mel,
        }

    def picture(self, clips: Shards, indices: Sequence[int]) -> np.ndarray:
        """Generated spectrograms above those of the waveforms made from them."""
        return picture_of(self.vocoder, self.mel, clips.batch(GENERATED, indices))


def _mel_error(made: Tensor, wanted: Tensor, grained: Tensor) -> Tensor:
    """Between spectrograms ``[B, frames, bins]``: of every value where there is grain, else of the level around it."""
    exact = grained[:, None, None]
    made, wanted = (torch.where(exact, mel, smoothed(mel)) for mel in (made, wanted))
    return F.l1_loss(made[:, _EDGE:-_EDGE], wanted[:, _EDGE:-_EDGE])


def peak_error(made: Tensor, real: Tensor, paired: Tensor, fft: int) -> Tensor:
    """How far the magnitudes of tones and blows are apart, over all magnitudes; 0 where a sound is not paired.

    Tones stand out of their neighbours in frequency, blows of those in time.
    """
    window = torch.hann_window(fft, device=made.device)
    a, b = (magnitudes(sound, fft, window) for sound in (made, real))  # [B, bins, frames]
    stands_out = (b > _STANDS_OUT * _mean_around(b, (_AROUND, 1))) | (b > _STANDS_OUT * _mean_around(b, (1, _AROUND)))
    apart = ((a - b) * stands_out).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1).clamp(min=0.1)  # [B]
    return _mean_of(paired, apart)


def flux_error(made: Tensor, real: Tensor, paired: Tensor) -> Tensor:
    """How far the spectral flux of log-mel spectrograms ``[B, frames, bins]`` is apart; 0 where they are not paired.

    The flux of a frame is how much louder the bands are than two frames before, those that are; the mean of all bands.
    """
    a, b = (F.relu(mel[:, 2:] - mel[:, :-2]).mean(dim=2)[:, _EDGE:-_EDGE] for mel in (made, real))  # [B, frames - 6]
    return _mean_of(paired, (a - b).abs().mean(dim=1))


def _mean_of(paired: Tensor, errors: Tensor) -> Tensor:
    """The mean of the ``errors [B]`` of those that are paired; 0 where none is."""
    mean: Tensor = (errors * paired).sum() / paired.sum().clamp(min=1)
    return mean


def _mean_around(values: Tensor, shape: tuple[int, int]) -> Tensor:
    padding = (shape[0] // 2, shape[1] // 2)
    mean: Tensor = F.avg_pool2d(values[:, None], shape, stride=1, padding=padding, count_include_pad=False)
    return mean[:, 0]
