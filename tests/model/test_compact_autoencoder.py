"""The compact autoencoder: shapes, standardised latents, and its place in a codec."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mdsgen.errors import GeometryError
from mdsgen.geometry import DEMO, RELEASE
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_codec import CompactCodec
from mdsgen.model.istft_vocoder import IstftVocoder
from tests.threads import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def autoencoder() -> CompactAutoencoder:
    torch.manual_seed(0)
    return CompactAutoencoder(width=16).eval().requires_grad_(False)


def test_the_decoder_has_at_most_three_million_parameters() -> None:
    assert sum(parameter.numel() for parameter in CompactAutoencoder().decoder.parameters()) <= 3_000_000


def test_both_axes_shrink_eightfold(autoencoder: CompactAutoencoder) -> None:
    spectrogram = torch.rand(2, 1, 128, 64)
    latent = autoencoder.encode(spectrogram)
    assert latent.shape == (2, 4, 16, 8)
    assert autoencoder.decode(latent).shape == spectrogram.shape


def test_standardised_latents_decode_to_the_same_spectrogram(autoencoder: CompactAutoencoder) -> None:
    spectrogram = torch.rand(1, 1, 128, 64)
    mean = autoencoder.posterior(spectrogram)[0]
    before = autoencoder.decode(autoencoder.encode(spectrogram))
    autoencoder.standardise(mean.mean(dim=(0, 2, 3)), mean.std(dim=(0, 2, 3)))
    latent = autoencoder.encode(spectrogram)
    torch.testing.assert_close(latent.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latent.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(autoencoder.decode(latent), before, atol=1e-5, rtol=1e-4)


def test_it_knows_high_from_low(autoencoder: CompactAutoencoder) -> None:
    torch.nn.init.normal_(autoencoder.decoder[1].bias)
    image = autoencoder.decode(torch.zeros(1, 4, 16, 8))[0, 0]
    assert image.std(dim=0).mean() > 1e-3


def test_as_a_codec_it_takes_spectrograms_frames_first(autoencoder: CompactAutoencoder) -> None:
    codec = CompactCodec(DEMO, autoencoder, IstftVocoder(DEMO.mel, width=16, depth=1))
    log_mel = torch.rand(1, 64, 128)
    latent = codec.encode(log_mel)
    torch.testing.assert_close(latent, autoencoder.encode(log_mel.mT[:, None]) * DEMO.latent_scale)
    torch.testing.assert_close(codec.decode(latent), autoencoder.decode(latent)[:, 0].mT)
    assert codec(latent).shape == (1, 64 * DEMO.mel.hop)


def test_a_codec_is_frozen(autoencoder: CompactAutoencoder) -> None:
    codec = CompactCodec(DEMO, autoencoder.train(), IstftVocoder(DEMO.mel, width=16, depth=1))
    assert not any(module.training for module in codec.modules())
    assert not any(parameter.requires_grad for parameter in codec.parameters())


def test_a_geometry_that_it_is_not_made_for_is_refused(autoencoder: CompactAutoencoder) -> None:
    with pytest.raises(GeometryError, match="do not fit geometry release"):
        CompactCodec(RELEASE, autoencoder, IstftVocoder(DEMO.mel, width=16, depth=1))
