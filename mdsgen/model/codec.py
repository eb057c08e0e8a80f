"""What export and training ask of the frozen audio networks, whichever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mdsgen.geometry import Geometry
from mdsgen.model.mel import LogMel


class Codec(nn.Module, ABC):
    """Latent ↔ log-mel spectrogram ↔ waveform in one geometry. Frozen: in eval mode, without gradients."""

    def __init__(self, geometry: Geometry, autoencoder: nn.Module, vocoder: nn.Module) -> None:
        super().__init__()
        self.geometry = geometry
        self.autoencoder = autoencoder
        self.vocoder = vocoder
        self.mel = LogMel(geometry.mel)
        self.eval().requires_grad_(False)

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, H, W]`` → log-mel spectrogram ``[B, frames, bins]``."""

    @abstractmethod
    def vocode(self, log_mel: Tensor) -> Tensor:
        """Log-mel spectrogram ``[B, frames, bins]`` → waveform ``[B, frames · hop]`` in -1..1."""

    def forward(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, H, W]`` → waveform ``[B, samples]``."""
        return self.vocode(self.decode(latent))

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Waveform ``[B, samples]`` → log-mel spectrogram ``[B, samples // hop, bins]``."""
        mel: Tensor = self.mel(waveform)
        return mel


class LatentDecoder(nn.Module):
    """:meth:`Codec.decode` as a module of its own, to be exported as one graph."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latent: Tensor) -> Tensor:
        return self.codec.decode(latent)


class Vocoder(nn.Module):
    """:meth:`Codec.vocode` as a module of its own, to be exported as one graph."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.codec.vocode(log_mel)
