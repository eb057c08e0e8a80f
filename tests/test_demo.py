"""The model that comes with the package: it is there, small, runs by itself, and its sound belongs to its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mdsgen
from mdsgen.bundle import Bundle
from mdsgen.evaluation import Clip, evaluate, held_out
from mdsgen.geometry import DEMO
from mdsgen.runtime import Pipeline, render

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).parent.parent
FOLDER = Path(mdsgen.__file__).parent / "demo"
SAMPLE = ROOT / "assets" / "sample.mp4"
JUDGED = 8


@pytest.fixture(autouse=True)
def _no_other_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDSGEN_BUNDLE", raising=False)


def test_it_is_what_is_opened_when_no_bundle_is_named() -> None:
    with Pipeline.open() as pipeline:
        assert pipeline.bundle.folder == FOLDER
        assert pipeline.bundle.manifest.geometry == DEMO


def test_it_is_whole_verified_and_small() -> None:
    manifest = Bundle.open(FOLDER).manifest  # checks every sum
    assert manifest.precision == "fp16-weights"
    assert manifest.parity
    assert all(figure.passed for figure in manifest.parity)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 25_000_000
    assert 4_500_000 <= manifest.model["parameters"] <= 5_500_000


def test_it_says_how_it_was_trained() -> None:
    provenance = Bundle.open(FOLDER, verify=False).manifest.provenance
    for stage in ("video_encoder", "autoencoder", "vocoder", "denoiser"):
        assert provenance[stage]["steps"] == provenance[stage][stage]["training"]["steps"]
    assert 0 < provenance["noisy_vocoder"]["steps"] <= provenance["noisy_vocoder"]["noisy_vocoder"]["training"]["steps"]


def test_a_seed_makes_the_same_file_and_another_seed_another_sound(tmp_path: Path) -> None:
    with Pipeline.open() as pipeline:
        sampling = pipeline.bundle.sampling.changed(steps=4)
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            render(pipeline, SAMPLE, tmp_path / f"{name}.mp4", sampling, seed=seed)
            render(pipeline, SAMPLE, tmp_path / f"{name}.wav", sampling, seed=seed)
    for suffix in ("mp4", "wav"):
        a, b, c = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "abc")
        assert a == b
        assert a != c


def test_its_sound_belongs_to_pictures_that_it_has_never_seen() -> None:
    """A small share of what mdsgen-eval measures: enough to notice a bundle that was exported or run wrongly."""
    clips: list[Clip] = []
    sounds: list[np.ndarray] = []
    with Pipeline.open() as pipeline:
        for clip in held_out(JUDGED, first_seed=500):
            frames = clip.scene.frames(DEMO.frame_size, DEMO.video_frames + 1, DEMO.frame_rate)  # the window ends there
            sound = pipeline(frames, seed=clip.scene.seed, duration=DEMO.duration)
            clips.append(clip)
            sounds.append(sound.audio)
    score = evaluate(clips, sounds).scores.generated
    assert score.aligned is not None
    assert score.aligned >= 0.75
    assert score.kind is not None
    assert score.kind >= 0.75
    assert score.onsets is not None
    assert score.onsets.f1 >= 0.6
    assert score.hop_autocorrelation is not None
    assert score.hop_autocorrelation < 0.1  # no buzz
