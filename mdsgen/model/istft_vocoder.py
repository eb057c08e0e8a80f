"""A vocoder that predicts a spectrum per frame and inverts it: log-mel spectrogram → waveform in one pass.

The architecture is Vocos' (Siuzdak, "Vocos: closing the gap between time-domain and Fourier-based neural vocoders",
ICLR 2024): ConvNeXt blocks at the spectrogram's own frame rate, then magnitude and phase of every frame, then the
inverse short-time Fourier transform. The transform is written as two matrix products and four shifted additions, which
every inference engine knows.

A network that knows the spectrogram alone gives equal frames equal spectra, so that steady noise repeats itself every
hop and buzzes. With ``noise_frames`` it also predicts how much noise is in every frame and bin, and that much of a
fixed noise is added to the spectrum: the sound of a spectrogram stays the same on every engine.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mdsgen.geometry import MelFormat

_OVERLAP = 4  # windows over every sample
EXTRA_FRAMES = _OVERLAP
"""How many more frames the spectrum has than the spectrogram: two before it and two after."""
_LOUDEST = 6.0  # the largest logarithm of a magnitude: a full-scale sine is at log(256)
_QUIET = -4.0  # the logarithm of the noise's level in an untrained network
_NOISE_SEED = 12
_NOISE_STEP = 1 / 16  # the noise is rounded: exact in FP16, and small when compressed


class IstftVocoder(nn.Module):
    """``[B, frames, bins] -> [B, frames · hop]``, for any number of frames.

    Frame f of the spectrogram is centred at sample f · hop, as in Diff-Foley's format (``MelFormat.scale`` "unit_db").
    ``noise_frames`` is for how many frames of a spectrogram there is a fixed noise, 0 for a vocoder without any; a
    longer spectrogram hears it again.
    """

    noise: Tensor

    def __init__(self, format: MelFormat, width: int = 256, depth: int = 5, noise_frames: int = 0) -> None:
        super().__init__()
        if format.fft != _OVERLAP * format.hop:
            raise ValueError(f"expected a window of {_OVERLAP} hops, not {format.fft} samples at a hop of {format.hop}")
        self.embed = nn.Conv1d(format.bins, width, kernel_size=7)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(_ConvNext(width) for _ in range(depth))
        self.final_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, format.fft + 2)  # log-magnitude and phase of fft/2 + 1 bins
        self.noise_head = _quiet_linear(width, format.fft // 2 + 1) if noise_frames else None
        noise = _fixed_noise(noise_frames + _OVERLAP if noise_frames else 0, format.fft // 2 + 1)
        self.register_buffer("noise", noise, persistent=False)
        self.inverse = InverseFourier(format.fft)

    def forward(self, log_mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """``noise [2, B, frames + 4, fft/2 + 1]``, real and imaginary parts, takes the place of the fixed one."""
        padded = _extend(2.0 * log_mel.transpose(1, 2) - 1.0, _OVERLAP // 2 + 3)  # [B, bins, frames + 4 + 6]
        x = self.norm(self.embed(padded).transpose(1, 2))  # [B, frames + 4, D]
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        log_magnitude, phase = self.head(x).float().chunk(2, dim=-1)  # [B, frames + 4, fft/2 + 1] each
        magnitude = log_magnitude.clamp(max=_LOUDEST).exp()
        real, imaginary = magnitude * phase.cos(), magnitude * phase.sin()
        if self.noise_head is not None:
            level = self.noise_head(x).float().clamp(max=_LOUDEST).exp()  # [B, frames + 4, fft/2 + 1]
            noise = self._noise_of(x.shape[1]) if noise is None else noise
            real, imaginary = real + level * noise[0], imaginary + level * noise[1]
        return self.inverse(real, imaginary)  # type: ignore[no-any-return]

    def begin_with(self, plain: IstftVocoder) -> None:
        """Take the weights of a vocoder of the same sizes without noise. Raises ``ValueError`` for other sizes."""
        missing = {name for name in self.state_dict() if name.startswith("noise_head.")}
        try:
            found = self.load_state_dict(plain.state_dict(), strict=False)
        except RuntimeError as error:
            raise ValueError(f"expected a vocoder of the same sizes: {error}") from error
        if set(found.missing_keys) != missing or found.unexpected_keys:
            raise ValueError(f"expected a vocoder of the same sizes, not one without {found.missing_keys}")

    def _noise_of(self, frames: int) -> Tensor:
        """The fixed noise of so many frames of the spectrum, ``[2, frames, fft/2 + 1]``."""
        times = -(-frames // self.noise.shape[1])
        return self.noise.repeat(1, times, 1)[:, :frames] if times > 1 else self.noise[:, :frames]


def _fixed_noise(frames: int, bins: int) -> Tensor:
    """Complex noise of unit variance in each part, ``[2, frames, bins]``; fewer frames are a beginning of more."""
    drawn = np.random.RandomState(_NOISE_SEED).standard_normal((frames, 2, bins))  # NumPy keeps this one as it is
    rounded = np.rint(drawn / _NOISE_STEP) * _NOISE_STEP
    return torch.from_numpy(rounded.astype(np.float32)).transpose(0, 1).contiguous()


def _quiet_linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, _QUIET)
    return linear


class InverseFourier(nn.Module):
    """The inverse short-time Fourier transform under a Hann window of four hops.

    ``real`` and ``imaginary [B, frames + 4, fft/2 + 1]``, two frames before the first sample and two after the last,
    become ``[B, frames · hop]``.
    """

    cosines: Tensor
    sines: Tensor
    window: Tensor

    def __init__(self, fft: int) -> None:
        super().__init__()
        self.hop = fft // _OVERLAP
        half = torch.arange(fft // 2 + 1, dtype=torch.float64)
        angle = 2 * math.pi / fft * torch.outer(half, half)  # [bin, sample]: the other half of the samples mirrors this
        weight = torch.full_like(half, 2.0 / fft)  # every bin but the first and the last stands for two
        weight[0] = weight[-1] = 1.0 / fft
        self.register_buffer("cosines", (weight[:, None] * angle.cos()).float(), persistent=False)
        self.register_buffer("sines", (weight[:, None] * angle.sin()).float(), persistent=False)
        window = torch.hann_window(fft, dtype=torch.float64)
        # Squared Hann windows a quarter apart add up to 3/2: one from the analysis, one from here.
        self.register_buffer("window", (window / 1.5).float(), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        even, odd = real @ self.cosines, imaginary @ self.sines  # [B, F, fft/2 + 1]: cosines mirror, sines change sign
        mirrored = (even + odd)[..., 1:-1].flip(-1)  # [B, F, fft/2 − 1]
        frames = torch.cat([even - odd, mirrored], dim=-1) * self.window  # [B, F, fft]
        return self._overlap_add(frames)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Hop h of the sound is the sum of quarter q of frame h + 3 − q, for the frames in whose windows it lies."""
        hops = frames.shape[1] - _OVERLAP
        quarters = frames.reshape(*frames.shape[:2], _OVERLAP, self.hop).unbind(dim=2)  # 4 of [B, F, hop]
        # Frame 2 is centred at the first sample: its third quarter begins there.
        pieces = [quarter[:, _OVERLAP - q : _OVERLAP - q + hops] for q, quarter in enumerate(quarters)]
        return torch.stack(pieces).sum(dim=0).flatten(1)  # [B, hops · hop]


class _ConvNext(nn.Module):
    """A depthwise convolution over time and an MLP, ``[B, T, D] -> [B, T, D]`` (Liu et al., 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv1d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, 3 * width)
        self.act: nn.Module = nn.GELU(approximate="tanh")
        self.contract = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        around = self.around(x.transpose(1, 2)).transpose(1, 2)  # [B, T, D]
        change: Tensor = self.contract(self.act(self.expand(self.norm(around))))
        return x + self.scale * change


def _extend(x: Tensor, frames: int) -> Tensor:
    """Repeat the first and the last frame, ``[B, C, T] -> [B, C, frames + T + frames]``."""
    before, after = x[..., :1].expand(-1, -1, frames), x[..., -1:].expand(-1, -1, frames)
    return torch.cat([before, x, after], dim=-1)
