"""The compact autoencoder and the inverse-Fourier vocoder as the audio networks of a geometry."""

from __future__ import annotations

from torch import Tensor

from mdsgen.errors import GeometryError
from mdsgen.geometry import Geometry
from mdsgen.model.codec import Codec
from mdsgen.model.compact_autoencoder import COMPRESSION, CompactAutoencoder
from mdsgen.model.istft_vocoder import IstftVocoder


class CompactCodec(Codec):
    """This project's own audio networks. Raises :class:`GeometryError` where the geometry is not for them."""

    autoencoder: CompactAutoencoder
    vocoder: IstftVocoder

    def __init__(self, geometry: Geometry, autoencoder: CompactAutoencoder, vocoder: IstftVocoder) -> None:
        if geometry.compression != COMPRESSION or geometry.time_axis != 1 or geometry.mel.scale != "unit_db":
            raise GeometryError(
                f"the compact audio networks compress {COMPRESSION} times, with time last, a spectrogram in 0..1: "
                f"they do not fit geometry {geometry.name}"
            )
        super().__init__(geometry, autoencoder, vocoder)

    def decode(self, latent: Tensor) -> Tensor:
        image = self.autoencoder.decode(latent / self.geometry.latent_scale)  # [B, 1, bins, frames]
        return image.squeeze(1).transpose(1, 2)

    def encode(self, log_mel: Tensor) -> Tensor:
        """Log-mel spectrogram ``[B, frames, bins]`` → latent ``[B, C, H, W]``."""
        return self.autoencoder.encode(log_mel.transpose(1, 2).unsqueeze(1)) * self.geometry.latent_scale

    def vocode(self, log_mel: Tensor) -> Tensor:
        waveform: Tensor = self.vocoder(log_mel)
        return waveform
