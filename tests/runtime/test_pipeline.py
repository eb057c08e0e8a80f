"""From a video to its sound: the same every time, right to the sample, of any length in the memory of one window."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mdsgen
from mdsgen import Pipeline, Sampling, Sound
from mdsgen.bundle import Bundle, write_manifest
from mdsgen.errors import BundleError, Cancelled, EngineError, MediaError
from mdsgen.geometry import PAPER, SAMPLE_RATE
from mdsgen.media import prepare_frames, probe
from mdsgen.runtime import Network, Networks, Progress, Timings, WindowGenerator, sample, seeded_noise
from mdsgen.runtime.known import moved
from mdsgen.runtime.solver import Plan, plan_steps, timesteps_of
from mdsgen.runtime.soundtrack import fade_samples
from mdsgen.runtime.windows import WindowPlan
from mdsgen.sampling import PRESETS
from mdsgen.schedule import NoiseSchedule
from tests.media.conftest import Renderer

STAGES = ["video decoding", "video encoder", "conditioning", "denoiser", "latent decoder", "vocoder"]


def moving(frames: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> np.ndarray:
    """Frames that differ, uint8 ``[frames, height, width, 3]``."""
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def still(frames: int) -> np.ndarray:
    """One picture all the time."""
    return np.broadcast_to(moving(1), (frames, 48, 64, 3))


def alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


# What comes out


def test_three_lines_make_a_sound(bundle_path: Path, film: Renderer) -> None:
    with mdsgen.Pipeline.open(bundle_path) as pipeline:
        sound = pipeline(film(frames=8, rate=4), seed=0)
    assert isinstance(sound, Sound)
    assert sound.audio.dtype == np.float32
    assert sound.audio.shape == (2 * SAMPLE_RATE,)
    assert (sound.sample_rate, sound.duration) == (SAMPLE_RATE, 2.0)
    assert 0.01 < sound.audio.std() < 1
    assert np.abs(sound.audio).max() <= 1


def test_the_same_seed_gives_the_same_sound_and_another_seed_another(pipeline: Pipeline) -> None:
    frames = moving(40)
    first = pipeline(frames, seed=7).audio
    np.testing.assert_array_equal(pipeline(frames, seed=7).audio, first)
    assert alike(pipeline(frames, seed=8).audio, first) < 0.9


def test_every_setting_and_the_pictures_reach_the_sound(pipeline: Pipeline) -> None:
    frames = moving(8)
    sound = pipeline(frames).audio
    assert alike(pipeline(moving(8, seed=1)).audio, sound) < 0.95
    assert alike(pipeline(frames, steps=12).audio, sound) < 0.95
    assert alike(pipeline(frames, guidance=1.0).audio, sound) < 0.95


def test_what_nobody_sets_is_the_bundle_s(pipeline: Pipeline) -> None:
    own = pipeline.bundle.sampling
    explicit = pipeline(moving(8), steps=own.steps, guidance=own.guidance)
    np.testing.assert_array_equal(pipeline(moving(8)).audio, explicit.audio)


def test_a_setting_that_there_is_not_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'step'"):
        pipeline(still(4), step=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"stream\(\) got an unexpected keyword argument 'step'"):
        pipeline.stream(still(4), step=3)  # type: ignore[call-arg]


def test_a_sampling_is_taken_whole_and_keywords_change_it(pipeline: Pipeline) -> None:
    frames, sampling = moving(8), Sampling(steps=2, guidance=3.0, solver="ddim", unconditional_every=2)
    whole = pipeline(frames, sampling=sampling).audio
    named = pipeline(frames, steps=2, guidance=3.0, solver="ddim", unconditional_every=2).audio
    np.testing.assert_array_equal(whole, named)
    np.testing.assert_array_equal(np.concatenate(list(pipeline.stream(frames, sampling))), whole)
    changed = pipeline(frames, sampling=sampling, guidance=1.0).audio
    np.testing.assert_array_equal(changed, pipeline(frames, sampling=sampling.changed(guidance=1.0)).audio)
    assert alike(changed, whole) < 0.95


def test_a_quality_is_a_preset(pipeline: Pipeline) -> None:
    frames, preset = moving(8), PRESETS["fast"]
    steps: set[int] = set()
    fast = pipeline(frames, quality="fast", progress=lambda progress: steps.add(progress.steps)).audio
    assert steps == {preset.steps}
    assert not np.array_equal(fast, pipeline(frames, quality="fast", solver="ddim").audio)
    np.testing.assert_array_equal(
        fast, pipeline(frames, sampling=pipeline.bundle.sampling.changed(quality="fast")).audio
    )


def test_a_model_is_sampled_with_the_noise_schedule_that_it_was_trained_with(bundle_path: Path, tmp_path: Path) -> None:
    """The same networks under a manifest with other betas make the sound that those betas make of them."""
    other = NoiseSchedule(beta_start=1e-3, beta_end=4e-2, train_steps=400)
    shutil.copytree(bundle_path, tmp_path / "other")
    manifest = Bundle.open(bundle_path).manifest
    write_manifest(tmp_path / "other", dataclasses.replace(manifest, schedule=other))
    frames, noise, sampling = moving(PAPER.video_frames), seeded_noise(PAPER, 0), Sampling(steps=3)
    with Networks(Bundle.open(bundle_path)) as networks:
        plan = plan_steps(sampling, other)
        modulations = networks.condition(networks.encode(prepare_frames(frames, 224)), timesteps_of(plan))
        latent = sample(_denoising(networks, plan, modulations), noise, sampling, other)
        expected = np.clip(networks.vocode(networks.decode(latent))[0], -1.0, 1.0)
    with Pipeline.open(bundle_path) as released, Pipeline.open(tmp_path / "other") as trained:
        np.testing.assert_array_equal(trained(frames, sampling=sampling).audio, expected[: 8 * SAMPLE_RATE])
        assert alike(released(frames, sampling=sampling).audio, expected[: 8 * SAMPLE_RATE]) < 0.95


def _denoising(networks: Networks, plan: Plan, modulations: np.ndarray) -> Network:
    of_timestep = {step.timestep: modulations[index] for index, step in enumerate(plan)}
    return lambda latent, timestep: networks.denoise(latent, of_timestep[timestep])


def test_streaming_is_calling_in_blocks(pipeline: Pipeline) -> None:
    frames, timings = moving(80), Timings()
    blocks = list(pipeline.stream(frames, seed=1, timings=timings))
    plan, fade = WindowPlan.of_film(PAPER), fade_samples(PAPER)
    borders = [0, *(w.until * PAPER.column_samples - fade for w in plan.film(20 * SAMPLE_RATE))]
    assert [len(block) for block in blocks] == [*np.diff(borders[:-1]), 20 * SAMPLE_RATE - borders[-2]]
    np.testing.assert_array_equal(np.concatenate(blocks), pipeline(frames, seed=1).audio)
    assert list(timings.seconds) == STAGES


def test_the_first_block_comes_before_the_second_window_is_computed(pipeline: Pipeline) -> None:
    seen: list[int] = []
    stream = pipeline.stream(moving(80), progress=lambda progress: seen.append(progress.window))
    next(stream)
    assert set(seen) == {0}


def test_every_stage_is_timed(pipeline: Pipeline) -> None:
    timings = pipeline(moving(8)).timings
    assert list(timings) == STAGES
    assert all(seconds > 0 for seconds in timings.values())


def test_two_streams_at_once_do_not_disturb_each_other(pipeline: Pipeline) -> None:
    one, other = moving(40), moving(40, seed=1)
    blocks = list(zip(pipeline.stream(one, seed=1), pipeline.stream(other, seed=2), strict=True))
    np.testing.assert_array_equal(np.concatenate([first for first, _ in blocks]), pipeline(one, seed=1).audio)
    np.testing.assert_array_equal(np.concatenate([second for _, second in blocks]), pipeline(other, seed=2).audio)


def test_sound_never_leaves_its_range(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows that are loud in the same places are louder still where they meet."""

    def loud(log_mel: np.ndarray) -> np.ndarray:
        return np.sign(np.random.default_rng(log_mel.tobytes()[0]).standard_normal((1, PAPER.samples))).astype("f")

    monkeypatch.setattr(pipeline._networks, "vocode", loud)
    assert np.abs(pipeline(moving(45)).audio).max() == 1


# What goes in


def test_frames_in_memory_sound_like_a_file_of_the_same(pipeline: Pipeline, film: Renderer) -> None:
    frames = moving(37)
    path = film("a.mkv", picture=lambda i: frames[i], frames=37, rate=4, codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(pipeline(frames).audio, pipeline(path).audio)


@pytest.mark.parametrize("start", [0.0, 0.125, 0.2, 3.24])
@pytest.mark.parametrize("duration", [None, 0.1, 2.2])
def test_a_part_in_memory_is_the_same_part_of_a_file(
    pipeline: Pipeline, film: Renderer, monkeypatch: pytest.MonkeyPatch, start: float, duration: float | None
) -> None:
    """The frames that reach the video encoder, and the length of the sound."""
    frames = moving(13)
    path = film("a.mkv", picture=lambda i: frames[i], frames=13, rate=4, codec="ffv1", pix_fmt="bgr0")
    seen: list[np.ndarray] = []

    def encode(view: np.ndarray) -> np.ndarray:
        seen.append(view.copy())
        return np.zeros((1, PAPER.video_frames, 512), np.float32)

    monkeypatch.setattr(pipeline._networks, "encode", encode)
    of_array = pipeline(frames, start=start, duration=duration, steps=1)
    from_array = np.stack(seen)
    seen.clear()
    of_file = pipeline(path, start=start, duration=duration, steps=1)
    np.testing.assert_array_equal(from_array, np.stack(seen))
    assert len(of_array.audio) == len(of_file.audio) == round(min(duration or 100, 13 / 4 - start) * SAMPLE_RATE)


def test_every_window_sees_its_own_frames_and_goes_on_from_what_was_given_out(pipeline: Pipeline) -> None:
    """Behind the fade the sound is the second window's, which begins 1.28 s after the first and knows 26 columns."""
    frames, generator = moving(36), WindowGenerator(pipeline._networks, pipeline.bundle.sampling)
    first, second = WindowPlan.of_film(PAPER).film(9 * SAMPLE_RATE)
    _, latent = generator.go_on(prepare_frames(frames[:32], 224), seeded_noise(PAPER, 3), None, Timings())
    begin = second.start * PAPER.column_samples
    seen = [frames[min(35, -(-(begin + 4000 * j + 2000) // 4000) - 1)] for j in range(32)]
    known = moved(latent, PAPER, second.start, first.until - second.start)
    noise = seeded_noise(PAPER, 3, window=1)
    expected, _ = generator.go_on(prepare_frames(np.stack(seen), 224), noise, known, Timings())
    border = first.until * PAPER.column_samples
    np.testing.assert_array_equal(
        pipeline(frames, seed=3).audio[border:], np.clip(expected, -1, 1)[border - begin : 144_000 - begin]
    )


def test_a_path_a_string_and_a_probed_video_are_the_same(pipeline: Pipeline, film: Renderer) -> None:
    path = film(frames=8)
    expected = pipeline(path).audio
    np.testing.assert_array_equal(pipeline(str(path)).audio, expected)
    np.testing.assert_array_equal(pipeline(probe(path)).audio, expected)


def test_a_part_is_the_sound_of_what_is_seen_there(pipeline: Pipeline) -> None:
    frames = moving(60)
    part = pipeline(frames, start=2.0, duration=9.0, seed=4)
    assert part.duration == 9.0
    np.testing.assert_array_equal(part.audio, pipeline(frames[8:44], seed=4).audio)


def test_a_short_video_is_padded_with_its_last_picture(pipeline: Pipeline) -> None:
    short = moving(10)
    padded = np.concatenate([short, np.repeat(short[-1:], PAPER.video_frames - 10, axis=0)])
    sound = pipeline(short).audio
    assert len(sound) == 10 * SAMPLE_RATE // 4
    np.testing.assert_array_equal(sound, pipeline(padded).audio[: len(sound)])


@settings(max_examples=12)
@given(milliseconds=st.integers(1, 9_000))
def test_the_length_is_right_to_the_sample(pipeline: Pipeline, milliseconds: int) -> None:
    sound = pipeline(still(40), duration=milliseconds / 1000, steps=1)
    assert len(sound.audio) == milliseconds * SAMPLE_RATE // 1000


@pytest.mark.parametrize(
    "part",
    [("start", second) for second in (-1.0, 2.0, float("nan"))]
    + [("duration", seconds) for seconds in (0.0, -1.0, float("nan"), 1e-6)],
    ids=str,
)
def test_a_part_that_is_not_there_is_refused(pipeline: Pipeline, film: Renderer, part: tuple[str, float]) -> None:
    for video in (moving(8), film(frames=8, rate=4)):
        with pytest.raises(MediaError):
            pipeline.stream(video, **dict([part]))  # type: ignore[arg-type]


def test_what_is_no_video_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        pipeline(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="outside an array of 0 frames"):
        pipeline(moving(0))


# Progress


def test_progress_is_told_after_every_step_of_every_window(pipeline: Pipeline) -> None:
    seen: list[Progress] = []
    pipeline(moving(36), steps=3, progress=seen.append)
    assert [(p.window, p.windows, p.step, p.steps) for p in seen] == [
        (0, 2, 1, 3),
        (0, 2, 2, 3),
        (0, 2, 3, 3),
        (1, 2, 1, 3),
        (1, 2, 2, 3),
        (1, 2, 3, 3),
    ]
    assert [p.fraction for p in seen] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_false_cancels_and_the_engines_stay_usable(pipeline: Pipeline) -> None:
    expected = pipeline(moving(40)).audio
    steps: list[int] = []

    def stop(progress: Progress) -> bool:
        steps.append(progress.step)
        return (progress.window, progress.step) != (1, 2)

    with pytest.raises(Cancelled):
        pipeline(moving(40), progress=stop)
    assert steps == [1, 2, 3, 4, 1, 2]
    np.testing.assert_array_equal(pipeline(moving(40)).audio, expected)


# Opening


def test_a_bundle_that_is_not_there_and_an_engine_that_is_unknown(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="absent: expected a bundle"):
        Pipeline.open(tmp_path / "absent")
    with pytest.raises(EngineError, match="'abacus' is unknown"):
        Pipeline.open(bundle_path, "abacus")


def test_where_nobody_names_a_bundle_the_default_one_opens(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    with Pipeline.open() as pipeline:
        assert pipeline.bundle.folder == bundle_path


def test_a_closed_pipeline_refuses_to_run(bundle_path: Path) -> None:
    with Pipeline.open(bundle_path, "onnxruntime") as pipeline:
        assert (pipeline.engine, pipeline.providers) == ("onnxruntime", ("CPUExecutionProvider",))
    with pytest.raises(EngineError, match="closed"):
        pipeline(moving(8))


# A long video


def test_a_minute_is_right_to_the_sample_and_has_no_audible_seams(pipeline: Pipeline) -> None:
    """A still picture sounds the same all the time, so its energy may not change where windows meet."""
    sound = pipeline(still(60 * 4), steps=1).audio.astype(np.float64)
    assert len(sound) == 60 * SAMPLE_RATE
    fade = fade_samples(PAPER)
    for window in list(WindowPlan.of_film(PAPER).film(len(sound)))[1:]:
        border = window.given * PAPER.column_samples
        around = sound[border - 9 * fade : border + 8 * fade]
        ratio = np.mean(sound[border - fade : border] ** 2) / np.mean(around**2)
        assert abs(10 * np.log10(ratio)) < 3


MEASURE = """
import re, sys
from mdsgen import Pipeline, Sampling
with Pipeline.open(sys.argv[1], "onnxruntime", threads=1) as pipeline:
    samples = sum(map(len, pipeline.stream(sys.argv[2], Sampling(steps=1))))
print(samples, re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""
"""Prints the samples of a video's sound, and the most memory that the process had, in kilobytes.

Not ``ru_maxrss``: a process inherits that from the one that started it.
"""


def test_a_minute_needs_no_more_memory_than_ten_seconds(bundle_path: Path, film: Renderer) -> None:
    def peak(seconds: int) -> int:
        path = film(f"{seconds}.mp4", frames=4 * seconds, rate=4, size=(64, 48))
        command = [sys.executable, "-c", MEASURE, str(bundle_path), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        samples, kilobytes = map(int, result.stdout.split())
        assert samples == seconds * SAMPLE_RATE
        return kilobytes

    assert peak(60) < 1.1 * peak(10)
