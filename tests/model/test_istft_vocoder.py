"""The vocoder's inverse transform against PyTorch's own, and its frames' place in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mdsgen.evaluation.periodicity import hop_autocorrelation
from mdsgen.geometry import DEMO
from mdsgen.model.istft_vocoder import InverseFourier, IstftVocoder
from tests.threads import one_thread

FFT, HOP = DEMO.mel.fft, DEMO.mel.hop
FIRST = [0.5, -0.6875, 0.25, -1.6875]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def spectrum(sound: torch.Tensor, frames: int) -> torch.Tensor:
    """Of two frames before the first sample to two frames after the last, ``[B, frames + 4, bins]``."""
    padded = F.pad(sound, (FFT, FFT))
    found = torch.stft(padded, FFT, HOP, window=torch.hann_window(FFT), center=False, return_complex=True)
    return found.mT[:, : frames + 4]


def test_a_sound_comes_back_from_its_spectrum_to_the_sample() -> None:
    sound = torch.randn(2, 20 * HOP, generator=torch.Generator().manual_seed(0))
    found = spectrum(sound, 20)
    back = InverseFourier(FFT)(found.real, found.imag)
    torch.testing.assert_close(back, sound, atol=1e-5, rtol=1e-4)


def test_of_any_spectrum_it_makes_what_torch_makes() -> None:
    """Also of one that no sound has, as a vocoder's: PyTorch's inverse weighs overlapping windows alike."""
    generator = torch.Generator().manual_seed(1)
    found = torch.randn(1, 16, FFT // 2 + 1, dtype=torch.complex64, generator=generator)
    found[..., 0], found[..., -1] = found[..., 0].real + 0j, found[..., -1].real + 0j
    mine = InverseFourier(FFT)(found.real, found.imag)[0]  # 12 hops from the centre of frame 2 on
    theirs = torch.istft(found.mT, FFT, HOP, window=torch.hann_window(FFT), center=True)[
        0
    ]  # from the centre of frame 0
    torch.testing.assert_close(mine[HOP:-HOP], theirs[3 * HOP : 13 * HOP], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_every_frame_becomes_a_hop_of_samples() -> None:
    vocoder = IstftVocoder(DEMO.mel, width=16, depth=1)
    for frames in (1, 7, 32):
        assert vocoder(torch.rand(2, frames, DEMO.mel.bins)).shape == (2, frames * HOP)


@torch.no_grad()
def test_a_frame_is_heard_at_its_own_place_only() -> None:
    torch.manual_seed(0)
    vocoder = IstftVocoder(DEMO.mel, width=16, depth=1)
    silence = torch.zeros(1, 64, DEMO.mel.bins)
    blow = silence.clone()
    blow[:, 32] = 1.0
    changed = (vocoder(blow) - vocoder(silence))[0].abs().reshape(64, HOP).amax(dim=1)  # per hop
    heard = changed.nonzero().flatten()
    # Seven frames of the first convolution, seven of the block, half a window on either side.
    assert heard.min() >= 32 - 3 - 3 - 2
    assert heard.max() <= 32 + 3 + 3 + 2
    assert heard.min() <= 32 <= heard.max()


@torch.no_grad()
def test_no_magnitude_blows_up() -> None:
    vocoder = IstftVocoder(DEMO.mel, width=16, depth=1)
    torch.nn.init.constant_(vocoder.head.bias, 1e4)
    assert torch.isfinite(vocoder(torch.rand(1, 8, DEMO.mel.bins))).all()


def test_another_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 4 hops"):
        IstftVocoder(replace(DEMO.mel, hop=200))


def test_the_demo_size_has_at_most_eight_million_parameters() -> None:
    assert sum(parameter.numel() for parameter in IstftVocoder(DEMO.mel).parameters()) <= 8_000_000


def noisy(frames: int = 32, level: float = 0.0) -> IstftVocoder:
    """A vocoder of noise alone, e^level in every bin."""
    torch.manual_seed(0)
    vocoder = IstftVocoder(DEMO.mel, width=16, depth=1, noise_frames=frames)
    torch.nn.init.zeros_(vocoder.head.weight)
    torch.nn.init.constant_(vocoder.head.bias, -30.0)
    assert vocoder.noise_head is not None
    torch.nn.init.constant_(vocoder.noise_head.bias, level)
    return vocoder


@torch.no_grad()
def test_equal_frames_sound_alike_without_noise_and_not_with_it() -> None:
    torch.manual_seed(0)
    steady = torch.full((1, 64, DEMO.mel.bins), 0.5)
    buzzing = IstftVocoder(DEMO.mel, width=16, depth=1)(steady)[0].numpy()
    assert hop_autocorrelation(buzzing[4 * HOP : -4 * HOP]) > 0.9
    hissing = noisy(64)(steady)[0].numpy()
    assert abs(hop_autocorrelation(hissing)) < 0.05


@torch.no_grad()
def test_the_noise_is_as_loud_as_it_is_told_and_fixed() -> None:
    log_mel = torch.rand(1, 32, DEMO.mel.bins)
    soft, loud = noisy()(log_mel), noisy(level=1.0)(log_mel)
    torch.testing.assert_close(loud, soft * torch.tensor(1.0).exp(), rtol=1e-4, atol=1e-6)
    assert torch.equal(soft, noisy()(log_mel))
    # Fourier frames of unit variance in each part, two thirds of a squared window each, over four hops.
    expected = (2 * FFT / FFT**2 * (2 / 3) ** 2 * 4 * 3 / 8) ** 0.5
    assert soft.std().item() == pytest.approx(expected, rel=0.03)


@torch.no_grad()
def test_the_noise_is_the_same_on_every_machine_and_exact_in_half_precision() -> None:
    noise = IstftVocoder(DEMO.mel, width=8, depth=1, noise_frames=DEMO.mel_frames).noise
    assert noise.shape == (2, DEMO.mel_frames + 4, FFT // 2 + 1)
    assert torch.equal(noise.half().float(), noise)
    assert noise[0, 0, :4].tolist() == FIRST
    assert noise.std().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(noisy(8).noise, noise[:, :12])  # fewer frames are the beginning of more


@torch.no_grad()
def test_a_longer_spectrogram_hears_the_noise_again_and_a_shorter_one_its_beginning() -> None:
    vocoder, log_mel = noisy(12), torch.rand(1, 44, DEMO.mel.bins)
    long = vocoder(log_mel)[0]
    torch.testing.assert_close(long[16 * HOP : 28 * HOP], long[32 * HOP : 44 * HOP])
    torch.testing.assert_close(vocoder(log_mel[:, :8])[0, : 6 * HOP], long[: 6 * HOP])


@torch.no_grad()
def test_training_brings_its_own_noise() -> None:
    vocoder, log_mel = noisy(8), torch.rand(2, 8, DEMO.mel.bins)
    assert not vocoder(log_mel, torch.zeros(2, 2, 12, FFT // 2 + 1)).abs().max() > 1e-6
    own = vocoder.noise[:, None].expand(-1, 2, -1, -1)
    assert torch.equal(vocoder(log_mel, own), vocoder(log_mel))
