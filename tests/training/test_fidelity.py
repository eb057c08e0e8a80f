"""What the audio networks are measured against: the yardstick itself, and that the figures tell good from bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from mdsgen.geometry import DEMO
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_codec import CompactCodec
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.model.mel import LogMel
from mdsgen.scenes import sample_scene
from mdsgen.training import fidelity
from mdsgen.training.fidelity import griffin_lim, measure_fidelity
from tests.threads import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@torch.no_grad()
def test_griffin_lim_finds_a_sound_with_the_spectrogram_that_it_was_given() -> None:
    mel = LogMel(DEMO.mel)
    sound = torch.from_numpy(sample_scene(3, "bell").sound(64 * DEMO.mel.hop))[None]
    made = griffin_lim(mel(sound), mel)
    assert made.shape == sound.shape
    assert 100 * (mel(made) - mel(sound)).abs().mean() < 1.5  # dB


class Perfect(CompactCodec):
    """Gives every sound back as it came."""

    def log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        self.heard = waveform if not hasattr(self, "heard") else self.heard
        return super().log_mel(waveform)

    def encode(self, log_mel: torch.Tensor) -> torch.Tensor:
        return log_mel

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return latent

    def vocode(self, log_mel: torch.Tensor) -> torch.Tensor:
        return self.heard


def test_a_codec_that_loses_nothing_has_no_error_and_an_untrained_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "_ITERATIONS", 2)
    geometry = replace(DEMO, width=32)  # 4.096 s
    parts = CompactAutoencoder(width=8), IstftVocoder(DEMO.mel, width=8, depth=1)
    perfect = measure_fidelity(Perfect(geometry, *parts), [5], lambda line: None)
    assert perfect.autoencoder_decibels == perfect.vocoder_decibels == perfect.both_distance == 0
    assert perfect.griffin_lim_distance > 0
    lines: list[str] = []
    untrained = measure_fidelity(CompactCodec(geometry, *parts), [5], lines.append)
    assert untrained.autoencoder_decibels > 5
    assert untrained.vocoder_distance > untrained.griffin_lim_distance
    assert lines == ["1 of 1 scenes measured"]
    assert f"{untrained.vocoder_distance:.3f}" in untrained.table()
