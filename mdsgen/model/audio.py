"""The frozen audio networks behind one interface: latent ↔ log-mel spectrogram ↔ waveform.

The architectures are the field's own: ``AutoencoderKL`` of diffusers and ``SpeechT5HifiGan`` of transformers. What this
adds is how a latent geometry uses them: which axis is time, how many image channels a spectrogram has, and scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mdsgen.errors import GeometryError, TensorError
from mdsgen.geometry import PAPER, RELEASE, SAMPLE_RATE, Geometry
from mdsgen.model.codec import Codec

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan


class AudioCodec(Codec):
    """A published autoencoder and vocoder that fit a geometry.

    It takes the two networks over: the vocoder's weight norm, if it has any, is folded into plain weights. Every method
    takes any number of spectrogram frames; a window of the geometry is only the usual one. Raises
    :class:`GeometryError` where a network does not fit.
    """

    autoencoder: AutoencoderKL
    vocoder: SpeechT5HifiGan

    def __init__(self, geometry: Geometry, autoencoder: AutoencoderKL, vocoder: SpeechT5HifiGan) -> None:
        _check_autoencoder(geometry, autoencoder)
        _check_vocoder(geometry, vocoder)
        super().__init__(geometry, autoencoder, fold_weight_norm(vocoder))
        self.image_channels: int = autoencoder.config.in_channels

    def decode(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, H, W]`` → log-mel spectrogram ``[B, frames, bins]``.

        Where the autoencoder draws in colour, the channels are averaged. They were equal in training; Diff-Foley takes
        the first one.
        """
        image = self.autoencoder.decode(latent / self.geometry.latent_scale, return_dict=False)[0]
        mel: Tensor = image.mean(dim=1)  # [B, height, width]
        return mel.transpose(1, 2) if self.geometry.time_axis == 1 else mel  # [B, frames, bins]

    def encode(self, log_mel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Log-mel spectrogram ``[B, frames, bins]`` → latent ``[B, C, H, W]``.

        The mean of the posterior, or a sample of it where a ``generator`` is given. The spectrogram goes in as it is,
        also Diff-Foley's of 0..1: its training (``video_spec_dataset.py``) repeats it on three channels, and does not
        map it to the -1..1 of pictures.
        """
        geometry = self.geometry
        bins, compression = geometry.mel.bins, geometry.compression
        if log_mel.dim() != 3 or log_mel.shape[2] != bins or log_mel.shape[1] % compression:
            raise TensorError(
                f"expected a log-mel spectrogram [B, a multiple of {compression} frames, {bins} bins], "
                f"got {list(log_mel.shape)}"
            )
        mel = log_mel.transpose(1, 2) if geometry.time_axis == 1 else log_mel  # [B, height, width]
        image = mel.unsqueeze(1).expand(-1, self.image_channels, -1, -1)  # [B, 1 or 3, height, width]
        posterior = self.autoencoder.encode(image, return_dict=False)[0]
        latent: Tensor = posterior.mode() if generator is None else posterior.sample(generator)
        return latent * geometry.latent_scale  # [B, C, H, W]

    def vocode(self, log_mel: Tensor) -> Tensor:
        """Log-mel spectrogram ``[B, frames, bins]`` → waveform ``[B, frames · hop]`` in -1..1.

        AudioLDM's vocoder makes 32 samples more than that (stride 5 under a kernel of 16); like AudioLDM, this cuts
        them off at the end.
        """
        waveform: Tensor = self.vocoder(log_mel)  # [B, ≥ frames · hop]
        return waveform[:, : log_mel.shape[1] * self.geometry.mel.hop]


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Replace every weight norm in ``module``, of either of PyTorch's kinds, by the weight it amounts to. In place."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        elif hasattr(layer, "weight_g"):
            nn.utils.remove_weight_norm(layer)
    return module


# Architectures with the published sizes and random weights: for benchmarks as they are, for tests with fewer channels.


def audioldm_autoencoder(channels: Sequence[int] = (128, 256, 512)) -> AutoencoderKL:
    """The autoencoder of ``cvssp/audioldm-s-full-v2`` (55.4 M parameters), for :data:`RELEASE`."""
    return _autoencoder(RELEASE, channels, image_channels=1)


def stable_diffusion_autoencoder(channels: Sequence[int] = (128, 256, 512, 512)) -> AutoencoderKL:
    """The autoencoder of Stable Diffusion 1 (83.7 M parameters), for :data:`PAPER`."""
    return _autoencoder(PAPER, channels, image_channels=3)


def _autoencoder(geometry: Geometry, channels: Sequence[int], image_channels: int) -> AutoencoderKL:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=image_channels,
        out_channels=image_channels,
        latent_channels=geometry.channels,
        block_out_channels=tuple(channels),
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=2,
        norm_num_groups=math.gcd(32, *channels),
    )


_UPSAMPLING = {  # hop: initial channels, rates, kernel sizes
    160: (1024, [5, 4, 2, 2, 2], [16, 16, 8, 4, 4]),
    256: (512, [8, 8, 2, 2], [16, 16, 4, 4]),
}


def hifigan(geometry: Geometry, channels: int | None = None) -> SpeechT5HifiGan:
    """A HiFi-GAN for the geometry's mel format; ``channels`` is the width of its first layer, halved at every stage.

    At hop 160 it is the vocoder of ``cvssp/audioldm-s-full-v2`` (55.3 M parameters), at hop 256 HiFi-GAN V1 (14 M).
    """
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    try:
        published, rates, kernels = _UPSAMPLING[geometry.mel.hop]
    except KeyError:
        known = " or ".join(map(str, _UPSAMPLING))
        raise GeometryError(f"no HiFi-GAN is known for a hop of {geometry.mel.hop}: expected {known}") from None
    config = SpeechT5HifiGanConfig(
        model_in_dim=geometry.mel.bins,
        sampling_rate=SAMPLE_RATE,
        upsample_initial_channel=published if channels is None else channels,
        upsample_rates=rates,
        upsample_kernel_sizes=kernels,
        resblock_kernel_sizes=[3, 7, 11],
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        leaky_relu_slope=0.1,
        normalize_before=False,
    )
    return SpeechT5HifiGan(config)


def _check_autoencoder(geometry: Geometry, autoencoder: AutoencoderKL) -> None:
    config = autoencoder.config
    compression = 2 ** (len(config.block_out_channels) - 1)
    found = (config.latent_channels, compression)
    expected = (geometry.channels, geometry.compression)
    if found != expected:
        raise GeometryError(
            f"the autoencoder does not fit geometry {geometry.name}: expected {expected[0]} latent channels and "
            f"compression {expected[1]}, found {found[0]} and {found[1]}"
        )
    if config.in_channels != config.out_channels:
        raise GeometryError(
            f"the autoencoder takes {config.in_channels} image channels but gives {config.out_channels}: "
            "expected as many"
        )


def _check_vocoder(geometry: Geometry, vocoder: SpeechT5HifiGan) -> None:
    config = vocoder.config
    found = (config.model_in_dim, math.prod(config.upsample_rates), config.sampling_rate)
    expected = (geometry.mel.bins, geometry.mel.hop, SAMPLE_RATE)
    if found != expected:
        raise GeometryError(
            f"the vocoder does not fit geometry {geometry.name}: expected {expected[0]} mel bins, {expected[1]} "
            f"samples a frame and {expected[2]} Hz, found {found[0]}, {found[1]} and {found[2]} Hz"
        )
