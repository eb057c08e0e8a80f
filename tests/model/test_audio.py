"""The audio codec: shapes, which axis is time, scale, determinism, and the refusal of parts that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mdsgen.errors import GeometryError, TensorError
from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.model.audio import (
    AudioCodec,
    audioldm_autoencoder,
    fold_weight_norm,
    hifigan,
    stable_diffusion_autoencoder,
)
from mdsgen.model.codec import LatentDecoder, Vocoder

Build = Callable[[], torch.nn.Module]
TIMES = 8  # latent frames of the tests: a short clip, because the networks take any length


def small_codec(geometry: Geometry) -> AudioCodec:
    torch.manual_seed(0)
    autoencoder = (
        audioldm_autoencoder((8, 8, 16)) if geometry is RELEASE else stable_diffusion_autoencoder((8, 8, 8, 16))
    )
    return AudioCodec(geometry, autoencoder, louder(hifigan(geometry, channels=32)))


def louder(vocoder: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough for a waveform that is not rounding error: the library initialises them near zero."""
    for weight in vocoder.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    return vocoder


@pytest.fixture(scope="module", params=[PAPER, RELEASE], ids=lambda geometry: geometry.name)
def codec(request: pytest.FixtureRequest) -> AudioCodec:
    return small_codec(request.param)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def latent_of(geometry: Geometry, batch: int = 1) -> Tensor:
    height, width = (TIMES, geometry.latent_bins) if geometry.time_axis == 0 else (geometry.latent_bins, TIMES)
    return torch.randn(batch, geometry.channels, height, width) * geometry.latent_scale


def mel_of(geometry: Geometry, batch: int = 1) -> Tensor:
    return torch.rand(batch, TIMES * geometry.compression, geometry.mel.bins)


def test_every_direction_has_its_shape(codec: AudioCodec) -> None:
    geometry = codec.geometry
    latent, mel = latent_of(geometry, batch=2), mel_of(geometry, batch=2)
    samples = mel.shape[1] * geometry.mel.hop
    assert codec.decode(latent).shape == mel.shape
    assert codec.encode(mel).shape == latent.shape
    assert codec.vocode(mel).shape == (2, samples)
    assert codec.log_mel(torch.zeros(2, samples)).shape == mel.shape
    assert codec(latent).shape == (2, samples)


def halves(change: Tensor) -> tuple[float, float]:
    """Energy of a change in the first and in the second half of an axis."""
    first, second = change.square().chunk(2)
    return first.sum().item(), second.sum().item()


def shaken(values: Tensor, axis: int, start: int, length: int, by: float = 0.1) -> Tensor:
    """A copy with noise added to a stretch of one axis."""
    copy = values.clone()
    stretch = copy.narrow(axis, start, length)
    stretch += torch.randn_like(stretch) * by
    return copy


def test_time_in_the_latent_is_time_in_the_spectrogram(codec: AudioCodec) -> None:
    geometry = codec.geometry
    latent = latent_of(geometry, batch=8)
    for start, sooner in ((0, True), (TIMES - 1, False)):
        moved = codec.decode(shaken(latent, 2 + geometry.time_axis, start, 1, 0.1 * geometry.latent_scale))
        first, second = halves((moved - codec.decode(latent)).movedim(1, 0))
        assert first > 1.5 * second if sooner else second > 1.5 * first


def test_frequency_in_the_latent_is_frequency_in_the_spectrogram(codec: AudioCodec) -> None:
    geometry = codec.geometry
    latent = latent_of(geometry, batch=8)
    for start, lower in ((0, True), (geometry.latent_bins - 1, False)):
        moved = codec.decode(shaken(latent, 3 - geometry.time_axis, start, 1, 0.1 * geometry.latent_scale))
        first, second = halves((moved - codec.decode(latent)).movedim(2, 0))
        assert first > 1.5 * second if lower else second > 1.5 * first


def test_time_in_the_spectrogram_is_time_in_the_latent(codec: AudioCodec) -> None:
    geometry = codec.geometry
    mel = mel_of(geometry, batch=8)
    for start, sooner in ((0, True), (TIMES - 1, False)):
        moved = codec.encode(shaken(mel, 1, start * geometry.compression, geometry.compression))
        first, second = halves((moved - codec.encode(mel)).movedim(2 + geometry.time_axis, 0))
        assert first > 1.5 * second if sooner else second > 1.5 * first


@pytest.mark.parametrize("frame", [10, 50])
def test_a_frame_sounds_at_its_samples(codec: AudioCodec, frame: int) -> None:
    mel = torch.zeros(1, 64, codec.geometry.mel.bins)
    silence = codec.vocode(mel)
    mel[:, frame] = 1
    change = (codec.vocode(mel) - silence).square()[0]  # [samples]
    centre = (change * torch.arange(len(change))).sum() / change.sum()
    assert centre / codec.geometry.mel.hop == pytest.approx(frame + 0.5, abs=1.5)


def test_latents_are_scaled_like_the_geometry_says(codec: AudioCodec) -> None:
    mel, latent, scale = mel_of(codec.geometry), latent_of(codec.geometry), codec.geometry.latent_scale
    unscaled = AudioCodec(replace(codec.geometry, latent_scale=1.0), codec.autoencoder, codec.vocoder)
    torch.testing.assert_close(codec.encode(mel), unscaled.encode(mel) * scale)
    torch.testing.assert_close(codec.decode(latent), unscaled.decode(latent / scale))


def test_a_generator_draws_from_the_posterior_and_none_takes_its_mean(codec: AudioCodec) -> None:
    mel = mel_of(codec.geometry)
    first, again, other = (codec.encode(mel, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(codec.encode(mel), codec.encode(mel))
    assert (first - codec.encode(mel)).std() < 3 * codec.geometry.latent_scale  # noise around the mean, scaled like it


def test_is_frozen(codec: AudioCodec) -> None:
    assert not any(module.training for module in codec.modules())
    assert not any(parameter.requires_grad for parameter in codec.parameters())


def test_graphs_are_the_codecs_own_directions(codec: AudioCodec) -> None:
    latent, mel = latent_of(codec.geometry), mel_of(codec.geometry)
    assert torch.equal(LatentDecoder(codec)(latent), codec.decode(latent))
    assert torch.equal(Vocoder(codec)(mel), codec.vocode(mel))


@pytest.mark.parametrize("graph", [LatentDecoder, Vocoder])
def test_graphs_trace_without_data_dependent_control_flow(codec: AudioCodec, graph: type[torch.nn.Module]) -> None:
    make = latent_of if graph is LatentDecoder else mel_of
    program = torch.export.export(graph(codec), (make(codec.geometry),), strict=False)
    value = make(codec.geometry)
    torch.testing.assert_close(program.module()(value), graph(codec)(value))


@pytest.mark.parametrize("kind", [torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_folding_weight_norm_keeps_the_output(kind: object, monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder = louder(hifigan(RELEASE, channels=32)).eval()
    mel = mel_of(RELEASE)
    monkeypatch.setattr(torch.nn.utils.parametrizations, "weight_norm", kind)
    plain = vocoder(mel)
    vocoder.apply_weight_norm()
    for name, weight in vocoder.named_parameters():
        if name.endswith(("weight_g", "original0")):
            weight.data *= 1.1  # gains of their own: not the ones that the weights came with
    before = vocoder(mel)
    folded = fold_weight_norm(vocoder)
    assert {name.rsplit(".", 1)[-1] for name in folded.state_dict()} == {"weight", "bias", "mean", "scale"}
    torch.testing.assert_close(folded(mel), before)
    assert (before - plain).std() > 0.01


def test_a_codec_folds_the_weight_norm_of_its_vocoder() -> None:
    vocoder = hifigan(RELEASE, channels=32)
    vocoder.apply_weight_norm()
    codec = AudioCodec(RELEASE, audioldm_autoencoder((8, 8, 16)), vocoder)
    assert not any("weight_" in name or "original" in name for name in codec.state_dict())


@pytest.mark.parametrize(
    ("autoencoder", "vocoder", "message"),
    [
        (lambda: audioldm_autoencoder((8, 8)), lambda: hifigan(RELEASE, 32), "compression 4, found 8 and 2"),
        (lambda: stable_diffusion_autoencoder((8,) * 4), lambda: hifigan(RELEASE, 32), "expected 8 latent channels"),
        (lambda: audioldm_autoencoder((8,) * 3), lambda: hifigan(PAPER, 32), "expected 64 mel bins, 160 samples"),
    ],
    ids=["compression", "latent channels", "vocoder"],
)
def test_refuses_parts_that_do_not_fit(autoencoder: Build, vocoder: Build, message: str) -> None:
    with pytest.raises(GeometryError, match=message) as caught:
        AudioCodec(RELEASE, autoencoder(), vocoder())
    assert "\n" not in str(caught.value)


def test_refuses_a_spectrogram_that_no_latent_stands_for(codec: AudioCodec) -> None:
    mel = mel_of(codec.geometry)
    for wrong in (mel[:, 1:], mel[..., 1:], mel[0]):
        with pytest.raises(TensorError, match="expected a log-mel spectrogram"):
            codec.encode(wrong)


def test_refuses_a_vocoder_for_a_hop_that_none_is_known_for() -> None:
    odd = replace(RELEASE, mel=replace(RELEASE.mel, hop=100))
    with pytest.raises(GeometryError, match="hop of 100: expected 160 or 256"):
        hifigan(odd)


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (audioldm_autoencoder, 55.4),
        (stable_diffusion_autoencoder, 83.7),
        (lambda: hifigan(RELEASE), 55.3),
        (lambda: hifigan(PAPER), 14.1),
    ],
    ids=["AudioLDM", "Stable Diffusion", "vocoder at hop 160", "vocoder at hop 256"],
)
def test_published_sizes(build: Build, millions: float) -> None:
    with torch.device("meta"):
        network = build()
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
