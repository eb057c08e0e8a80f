"""The vocoder's inverse transform against PyTorch's own, and its frames' place in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mdsgen.geometry import DEMO
from mdsgen.model.istft_vocoder import InverseFourier, IstftVocoder
from tests.threads import one_thread

FFT, HOP = DEMO.mel.fft, DEMO.mel.hop


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
