"""The detector hears blows, at their times, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation import Clip, Matches, match, onsets
from mdsgen.evaluation.labels import all_impacts
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes import IMPACTS, sample_scene


def clicks(*times: float, seconds: float = 2.0) -> np.ndarray:
    sound = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    rng = np.random.default_rng(0)
    for time in times:
        at = round(time * SAMPLE_RATE)
        sound[at : at + 800] += 0.3 * rng.standard_normal(800).astype(np.float32) * np.exp(-np.arange(800) / 150)
    return sound


def test_clicks_are_found_where_they_are() -> None:
    np.testing.assert_allclose(onsets(clicks(0.3, 0.8, 1.0, 1.7)), [0.3, 0.8, 1.0, 1.7], atol=0.03)


def test_steady_noise_and_silence_have_no_onsets() -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    assert len(onsets(np.zeros(32_000, np.float32))) == 0
    assert len(onsets(noise)) <= 1


def test_a_ringing_tone_begins_once() -> None:
    time = np.arange(32_000) / SAMPLE_RATE
    ring = np.where(time > 0.5, np.exp(0.5 - time) * np.sin(2 * np.pi * 880 * time), 0) * (1 + 0.3 * np.sin(30 * time))
    np.testing.assert_allclose(onsets(ring.astype(np.float32)), [0.5], atol=0.03)


def test_blows_are_found_in_noise() -> None:
    noise = 0.003 * np.random.default_rng(1).standard_normal(32_000).astype(np.float32)
    assert match(onsets(clicks(0.3, 0.8, 1.7) + noise), np.array([0.3, 0.8, 1.7])).f1 == 1.0


@pytest.mark.parametrize("kind", list(IMPACTS))
def test_scenes_of_blows_are_heard_as_they_are(kind: str) -> None:
    pooled, shuffled = Matches(), Matches()
    clips = [Clip(sample_scene(seed, kind), np.empty(0)) for seed in range(60_000, 60_006)]
    clips = [clip for clip in clips if all_impacts(clip.scene.truth)]
    for clip, other in zip(clips, clips[1:] + clips[:1], strict=True):
        pooled += match(onsets(clip.sound), clip.onsets)
        shuffled += match(onsets(clip.sound), other.onsets)
    assert pooled.f1 >= 0.9
    assert shuffled.f1 < 0.65
