"""From a video file to a finished one: every picture untouched, the sound where it belongs, or no file at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import Cancelled, MediaError
from mdsgen.geometry import PAPER, SAMPLE_RATE
from mdsgen.media import Output, probe, read_sound
from mdsgen.runtime import Rendered, default_target, render
from mdsgen.sampling import Sampling
from tests.media.conftest import Renderer

STEP = 1 / 32767
"""Of 16 bits: half of it is lost in rounding, and up to half in reading, where full scale is 32768."""
VIDEO = [".mp4", ".mkv", ".mov"]

Packets = Callable[[Path], list[bytes]]
Heard = Callable[[Path], np.ndarray]


def rising_tone(seconds: float) -> np.ndarray:
    """Sound that is nowhere the same."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 40 * time) * time)).astype(np.float32)


def original(path: Path) -> np.ndarray:
    return np.concatenate(list(read_sound(path)))


@pytest.fixture
def sounding(film: Renderer) -> Path:
    """A video of 2.5 s with a tone of its own."""
    return film("a.mov", frames=30, rate=12, sound=rising_tone(2.5))


# What is written


@pytest.mark.parametrize("suffix", VIDEO)
def test_pictures_stay_and_sound_is_added(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, packets: Packets, suffix: str
) -> None:
    path = film("a.mp4", frames=107, rate=25)
    target = tmp_path / f"out{suffix}"
    render(pipeline, path, target, seed=3)
    assert packets(target) == packets(path)
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        frame = 1024 / SAMPLE_RATE if suffix == ".mkv" else 0  # of AAC, which Matroska does not cut
        assert (container.duration or 0) / av.time_base == pytest.approx(107 / 25, abs=frame + 1e-3)
    assert probe(target).duration == pytest.approx(107 / 25, abs=1e-3)
    assert np.corrcoef(original(target), pipeline(path, seed=3).audio)[0, 1] > 0.99


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sound_alone_is_the_pipeline_s_to_the_sample(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, heard: Heard, suffix: str
) -> None:
    path = film("a.mp4", frames=120, rate=12)
    target = tmp_path / f"out{suffix}"
    rendered = render(pipeline, path, target, seed=3)
    assert rendered.seconds == 10.0
    np.testing.assert_allclose(heard(target), pipeline(path, seed=3).audio, atol=STEP)


def test_a_part_lies_at_its_place_under_the_pictures(pipeline: Pipeline, film: Renderer, tmp_path: Path) -> None:
    path = film("a.mp4", frames=48, rate=12)
    rendered = render(pipeline, path, tmp_path / "out.mkv", start=1.5, duration=1.0)
    assert rendered.seconds == 1.0
    sound = original(tmp_path / "out.mkv")
    assert len(sound) == 4 * SAMPLE_RATE
    loudness = np.square(sound).reshape(8, -1).mean(axis=1)  # per half second
    assert loudness[[3, 4]].min() > 100 * loudness[[0, 1, 6, 7]].max()


def test_a_part_alone_is_that_part(pipeline: Pipeline, film: Renderer, tmp_path: Path, heard: Heard) -> None:
    path = film("a.mp4", frames=48, rate=12)
    render(pipeline, path, tmp_path / "out.flac", start=1.5, duration=1.0)
    expected = pipeline(path, start=1.5, duration=1.0).audio
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), expected, atol=STEP)


def test_settings_reach_the_pipeline(pipeline: Pipeline, film: Renderer, tmp_path: Path, heard: Heard) -> None:
    path = film(frames=8, rate=4)
    how: dict[str, Any] = {"seed": 5, "sampling": Sampling(steps=2, guidance=2.0)}
    render(pipeline, path, tmp_path / "out.flac", **how)
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), pipeline(path, **how).audio, atol=STEP)


# Mixing


def test_a_mix_of_one_is_the_original_sound(pipeline: Pipeline, sounding: Path, tmp_path: Path, heard: Heard) -> None:
    render(pipeline, sounding, tmp_path / "out.flac", output=Output(mix=1.0))
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), original(sounding), atol=STEP)


@pytest.mark.parametrize("mix", [0.25, 0.5])
def test_a_mix_in_between_is_the_weighted_mean(
    pipeline: Pipeline, sounding: Path, tmp_path: Path, heard: Heard, mix: float
) -> None:
    render(pipeline, sounding, tmp_path / "out.flac", output=Output(mix=mix))
    expected = (1 - mix) * pipeline(sounding).audio + mix * original(sounding)
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), expected, atol=STEP)


def test_the_original_sound_runs_along_over_many_windows(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, heard: Heard
) -> None:
    path = film("a.mov", frames=80, rate=4, sound=rising_tone(20))
    render(
        pipeline,
        path,
        tmp_path / "out.flac",
        output=Output(mix=1.0),
        start=0.5,
        duration=19.0,
        sampling=Sampling(steps=1),
    )
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), original(path)[8000:-8000], atol=STEP)


def test_a_silent_video_gets_its_sound_and_a_note(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, heard: Heard
) -> None:
    rendered = render(pipeline, film(), tmp_path / "out.flac", output=Output(mix=0.5))
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), pipeline(film()).audio, atol=STEP)
    (note,) = rendered.notes
    assert "has no sound of its own" in note


# Failing


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".mp4", ".mkv"])
def test_a_run_that_is_cancelled_leaves_what_was_there(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, suffix: str
) -> None:
    path, target = film(frames=40, rate=4), tmp_path / f"out{suffix}"
    target.write_bytes(b"before")
    with pytest.raises(Cancelled):
        render(pipeline, path, target, progress=lambda progress: progress.window == 0)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", target.name]


def test_sound_that_is_not_a_number_is_not_written(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline._networks, "vocode", lambda _: np.full((1, PAPER.samples), np.nan, np.float32))
    with pytest.raises(MediaError, match="not numbers"):
        render(pipeline, film(), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [("out.aiff", "expected a name that ends in"), ("absent/out.mp4", "there is no folder"), ("films", "ends in")],
)
def test_a_target_that_cannot_be_written_is_refused_before_any_work(
    pipeline: Pipeline, film: Renderer, tmp_path: Path, target: str, complaint: str
) -> None:
    with pytest.raises(MediaError, match=complaint):
        render(pipeline, film(), tmp_path / target, progress=lambda _: pytest.fail("worked in vain"))
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


def test_a_part_that_is_not_there_leaves_nothing(pipeline: Pipeline, film: Renderer, tmp_path: Path) -> None:
    for part in ({"start": 2.0}, {"duration": 1e-6}):
        with pytest.raises(MediaError):
            render(pipeline, film(frames=8, rate=4), tmp_path / "out.mp4", **part)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


# What is said of it


def test_a_result_says_where_it_is_and_what_it_cost(pipeline: Pipeline, film: Renderer, tmp_path: Path) -> None:
    path, target = film(frames=8, rate=4), tmp_path / "out.mp4"
    rendered = render(pipeline, str(path), str(target))
    assert (rendered.source, rendered.target, rendered.seconds) == (path, target, 2.0)
    stages = ["video decoding", "video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "writing"]
    assert list(rendered.timings) == stages
    assert rendered.total >= sum(rendered.timings.values())
    assert rendered.real_time_factor == rendered.total / 2.0


def test_a_result_is_plain_json() -> None:
    rendered = Rendered(Path("a.mp4"), Path("b.mp4"), 2.0, {"vocoder": 0.5}, 1.0)
    assert json.loads(json.dumps(rendered.to_dict())) == {
        "source": "a.mp4",
        "target": "b.mp4",
        "seconds": 2.0,
        "sample_rate": 16_000,
        "timings": {"vocoder": 0.5},
        "total": 1.0,
        "real_time_factor": 0.5,
        "notes": [],
    }


@pytest.mark.parametrize(
    ("source", "folder", "target"),
    [
        ("clips/a.mp4", None, "clips/a.mdsgen.mp4"),
        ("clips/a.b.webm", None, "clips/a.b.mdsgen.mp4"),
        ("clips/a", Path("out"), "out/a.mdsgen.mp4"),
    ],
)
def test_a_target_that_nobody_names(source: str, folder: Path | None, target: str) -> None:
    assert default_target(source, folder) == Path(target)


def test_what_is_written_can_be_read_again(pipeline: Pipeline, film: Renderer, tmp_path: Path) -> None:
    path = film(frames=43, rate=30)
    render(pipeline, path, tmp_path / "one.mp4", Sampling(steps=1))
    render(pipeline, tmp_path / "one.mp4", tmp_path / "two.mp4", Sampling(steps=1), output=Output(mix=0.5))
    assert probe(tmp_path / "two.mp4").duration == pytest.approx(43 / 30, abs=1e-3)
