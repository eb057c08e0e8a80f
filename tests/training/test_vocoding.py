"""The vocoder learns to make the waveform of a spectrogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mdsgen.training.clips import as_float
from mdsgen.training.shards import Shards
from mdsgen.training.vocoding import MultiResolutionStft, VocoderConfig, VocoderStage
from tests.training.datasets import TINY
from tests.training.small_stages import losses_of, trainer


def test_its_loss_falls(clips: Shards, tmp_path: Path) -> None:
    losses = losses_of(trainer("vocoder", clips, tmp_path, steps=40, ema=0.0))
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_spectrogram_and_sound_of_a_crop_belong_together(clips: Shards) -> None:
    stage = VocoderStage(TINY, VocoderConfig(width=16, depth=1, crop=32, smoothed=0.0, resolutions=(256,)))
    batch = stage.draw(clips, 4, np.random.default_rng(0))
    mel, sound = (clips.batch(field, range(len(clips))) for field in ("log_mel", "sound"))  # type: ignore[arg-type]
    hop = TINY.mel.hop
    for log_mel, waveform in zip(batch["log_mel"].numpy(), batch["sound"].numpy(), strict=True):
        places = [
            (clip, start)
            for clip in range(len(clips))
            for start in range(TINY.mel_frames - 32 + 1)
            if np.array_equal(log_mel, mel[clip][start : start + 32].astype(np.float32))
        ]
        assert any(np.array_equal(waveform, as_float(sound[c][s * hop : (s + 32) * hop])) for c, s in places)


def test_equal_waveforms_are_no_distance_apart_and_louder_ones_some() -> None:
    distance = MultiResolutionStft((128, 512))
    waveform = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0))
    assert [float(value) for value in distance(waveform, waveform)] == [0, 0]
    convergence, magnitude = distance(2 * waveform, waveform)
    assert torch.allclose(convergence, torch.tensor(1.0))  # the error is as large as the signal
    assert torch.allclose(magnitude, torch.tensor(2.0).log(), atol=1e-3)


def test_the_distance_knows_what_a_spectrum_hides() -> None:
    """Noise of the same spectrum at another time is far away: the frames are compared, not their mean."""
    distance = MultiResolutionStft((128, 512))
    click = torch.zeros(1, 4096)
    click[0, 1000] = 1.0
    assert float(distance(click.roll(500, dims=1), click)[0]) > 0.5
