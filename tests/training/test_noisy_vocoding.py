"""A vocoder learns to hiss, beside discriminators that learn to tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import CheckpointError
from mdsgen.geometry import DEMO
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.model.mel import LogMel
from mdsgen.training.clips import as_float
from mdsgen.training.discriminators import Discriminators
from mdsgen.training.noisy_vocoding import NoisyVocoderConfig, NoisyVocoderStage, flux_error, peak_error
from mdsgen.training.shards import Shards
from tests.training.datasets import TINY
from tests.training.small_stages import small_stage, trainer

CONFIG = NoisyVocoderConfig(width=16, depth=1, crop=32, windows=(256,), channels=4)


def gradients(module: torch.nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def test_each_side_moves_by_its_own_loss_alone() -> None:
    torch.manual_seed(0)
    judges, gain = Discriminators((256, 512), channels=4), torch.nn.Linear(1, 1)
    made, real = gain(torch.randn(2, 4096, 1))[..., 0], torch.randn(2, 4096)
    judgement = judges(made, real, torch.ones(2, dtype=torch.bool))
    judgement.discriminators.backward(retain_graph=True)
    assert gradients(judges) > 0
    assert gradients(gain) == 0
    judges.zero_grad()
    (judgement.vocoder + judgement.features).backward()
    assert gradients(judges) == 0
    assert gradients(gain) > 0


def test_discriminators_learn_to_tell_what_buzzes_from_noise() -> None:
    torch.manual_seed(0)
    judges, paired = Discriminators((256, 1024), channels=4), torch.ones(4, dtype=torch.bool)
    optimiser = torch.optim.Adam(judges.parameters(), lr=3e-3)
    losses = []
    for _ in range(50):
        buzz = 0.1 * torch.randn(4, 256).repeat(1, 32)
        loss = judges(buzz, 0.1 * torch.randn(4, 8192), paired).discriminators
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(2, abs=0.2)  # undecided
    assert np.mean(losses[-5:]) < 1.0


def test_features_are_matched_only_with_the_very_sound() -> None:
    torch.manual_seed(0)
    judges, made, real = Discriminators((256,), channels=4), torch.randn(2, 4096), torch.randn(2, 4096)
    assert float(judges(real, real, torch.ones(2)).features) < 1e-5
    assert float(judges(made, real, torch.ones(2)).features) > 0.1
    assert float(judges(made, real, torch.zeros(2)).features) == 0


def test_crops_come_from_where_the_recipe_says_and_belong_to_their_sound(decoded: Shards) -> None:
    every = {"smoothed": 0.0, "reconstructed": 0.0, "generated": 0.0}
    for source in ("log_mel", "reconstructed", "generated"):
        config = replace(CONFIG, **(every | ({source: 1.0} if source in every else {})))
        batch = NoisyVocoderStage(TINY, config).draw(decoded, 4, np.random.default_rng(0))
        assert batch["noise"].shape == (4, 2, 36, 513)
        assert batch["grained"].tolist() == [source == "log_mel"] * 4
        assert batch["paired"].tolist() == [source != "generated"] * 4
        sounds = as_float(decoded.batch("sound", range(len(decoded))))
        mels = decoded.batch(source, range(len(decoded))).astype(np.float32)
        for mel, sound in zip(batch["log_mel"].numpy(), batch["sound"].numpy(), strict=True):
            assert any(
                np.array_equal(mel, mels[clip][start : start + 32])
                and np.array_equal(sound, sounds[clip][start * 256 : (start + 32) * 256])
                for clip in range(len(decoded))
                for start in range(TINY.mel_frames - 32 + 1)
            )


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(ValueError, match="shares of 1"):
        NoisyVocoderConfig(smoothed=0.5, reconstructed=0.4, generated=0.2)


def test_both_sides_are_trained_and_only_the_vocoder_is_kept(decoded: Shards, tmp_path: Path) -> None:
    training = trainer("noisy_vocoder", decoded, tmp_path)
    before = {name: value.clone() for name, value in training.stage.state_dict().items()}
    training.fit()
    moved = {name for name, value in training.stage.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("discriminators.") for name in moved)
    assert "vocoder.noise_head.bias" in moved
    assert not any(name.startswith("discriminators.") for name in training.finish().state_dict())


def test_it_begins_with_the_trained_vocoder(tmp_path: Path) -> None:
    stage = small_stage("noisy_vocoder")
    assert isinstance(stage, NoisyVocoderStage)
    with pytest.raises(CheckpointError, match="train it to its end first"):
        stage.take(tmp_path)
    plain = IstftVocoder(TINY.mel, width=16, depth=1)
    stage.vocoder.begin_with(plain)
    for name, value in plain.state_dict().items():
        assert torch.equal(stage.vocoder.state_dict()[name], value)
    with pytest.raises(ValueError, match="same sizes"):
        stage.vocoder.begin_with(IstftVocoder(TINY.mel, width=8, depth=1))


def test_tones_and_blows_are_compared_and_noise_hardly() -> None:
    rng, time = torch.Generator().manual_seed(0), torch.arange(16384) / 16000
    noise = 0.1 * torch.randn(1, 16384, generator=rng)
    other = 0.1 * torch.randn(1, 16384, generator=rng)
    tone = 0.1 * torch.sin(2 * torch.pi * 880 * time)[None]
    blow = torch.zeros(1, 16384)
    blow[:, 8000] = 1.0
    paired = torch.ones(1, dtype=torch.bool)

    def error(made: torch.Tensor, real: torch.Tensor) -> float:
        return float(peak_error(made, real, paired, 1024))

    assert error(noise, other) < 0.3
    assert error(torch.zeros_like(tone), tone) > 0.9
    assert error(torch.zeros_like(blow), blow) > 0.9
    assert error(tone, tone) == 0
    assert float(peak_error(noise, tone, ~paired, 1024)) == 0


def test_a_tone_must_not_tremble_and_noise_must_not_stand_still() -> None:
    seconds = torch.arange(16 * 1024) / 16_000
    fading = torch.exp(-3 * seconds) * torch.sin(2 * torch.pi * 440 * seconds)
    trembling = fading * (1 + 0.3 * torch.sin(2 * torch.pi * 20 * seconds))
    noise, other = torch.rand(2, len(seconds), generator=torch.Generator().manual_seed(0)) - 0.5
    buzz = noise[: DEMO.mel.hop].repeat(len(noise) // DEMO.mel.hop)
    mel, paired = LogMel(DEMO.mel), torch.ones(1, dtype=torch.bool)

    def error(made: torch.Tensor, real: torch.Tensor) -> float:
        return float(flux_error(mel(made[None]), mel(real[None]), paired))

    assert error(trembling, fading) > 100 * error(0.9 * fading, fading)
    assert error(buzz, noise) > 3 * error(other, noise)
    assert error(fading, fading) == 0
    assert float(flux_error(mel(trembling[None]), mel(fading[None]), ~paired)) == 0
