"""Scenes: drawn from a seed, seen, heard, and known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import SceneError
from mdsgen.geometry import PAPER
from mdsgen.scenes import CONTINUOUS, IMPACTS, INTENSITY_RATE, KINDS, sample_scene

SIZE = 48
SHORT = 4.0
"""Seconds: enough for every kind to do what it does."""


def test_there_are_many_kinds_and_each_is_an_impact_or_continuous():
    assert len(KINDS) >= 8
    assert set(KINDS) == IMPACTS.keys() | CONTINUOUS.keys()
    assert not IMPACTS.keys() & CONTINUOUS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_can_be_seen_and_heard(kind):
    scene = sample_scene(11, kind)
    frames, sound = scene.frames(size=SIZE), scene.sound()
    assert scene.kind == scene.truth.kind == kind
    assert frames.shape == (PAPER.video_frames, SIZE, SIZE, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    assert (frames[0] != frames[-1]).any()
    assert sound.shape == (PAPER.samples,)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert 0.02 < np.abs(sound).max() <= 0.951


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_scene_every_time(kind):
    first, second = (sample_scene(7, kind, SHORT) for _ in range(2))
    np.testing.assert_array_equal(first.sound(), second.sound())
    np.testing.assert_array_equal(first.frames(size=SIZE, count=3), second.frames(size=SIZE, count=3))
    assert first.truth.events == second.truth.events


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_scene(kind):
    first, second = (sample_scene(seed, kind, SHORT) for seed in (1, 2))
    assert (first.frames(size=SIZE, count=1) != second.frames(size=SIZE, count=1)).mean() > 0.5
    assert np.abs(np.corrcoef(first.sound(), second.sound())[0, 1]) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_names_times_strengths_and_materials(kind):
    truth = sample_scene(5, kind).truth
    assert truth.material
    times = [event.time for event in truth.events]
    assert times == sorted(times)
    for source in truth.sources:
        assert all(event.kind == source.kind and event.material and 0 < event.strength < 2 for event in source.events)
        assert (source.intensity is None) == (source.kind in IMPACTS)
        if source.intensity is not None:
            assert source.intensity.dtype == np.float32
            assert len(source.intensity) >= PAPER.duration * INTENSITY_RATE
            assert 0 <= source.intensity.min() < source.intensity.max() <= 1
    if kind in IMPACTS:
        assert truth.events


def test_every_kind_comes_up_and_some_scenes_hold_two_things():
    scenes = [sample_scene(seed) for seed in range(150)]
    assert {scene.kind for scene in scenes} == set(KINDS)
    assert 0.08 < np.mean([len(scene.actors) == 2 for scene in scenes]) < 0.4
    assert any(len({source.material for source in scene.truth.sources}) == 2 for scene in scenes)


def test_what_stands_side_by_side_does_not_overlap():
    pairs = [scene for seed in range(60) if len((scene := sample_scene(seed, "bounce")).actors) == 2]
    assert pairs
    for scene in pairs:
        assert abs(scene.actors[0].place.x - scene.actors[1].place.x) > 0.4


def test_the_events_of_two_things_are_sorted_into_one_list():
    scene = next(scene for seed in range(60) if len((scene := sample_scene(seed, "drum")).actors) == 2)
    assert len(scene.truth.events) == sum(len(source.events) for source in scene.truth.sources)
    assert list(scene.truth.events) == sorted(scene.truth.events, key=lambda event: event.time)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**40), size=st.integers(16, 80), rate=st.sampled_from([4.0, 12.5, 25.0]))
def test_any_seed_size_and_rate(seed, size, rate):
    scene = sample_scene(seed, duration=SHORT)
    frames = scene.frames(size=size, frame_rate=rate, count=9)
    assert frames.shape == (9, size, size, 3)
    sound = scene.sound()
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 0.951


@pytest.mark.parametrize("kind", ["bounce", "engine", "waves"])
def test_size_changes_the_resolution_and_not_the_picture(kind):
    scene = sample_scene(3, kind)
    small, large = (scene.frames(size=size, count=2)[1].astype(float) for size in (48, 192))
    shrunk = large.reshape(48, 4, 48, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - shrunk).mean() < 9


def test_the_frame_rate_changes_how_often_pictures_are_taken_and_not_what_happens():
    scene = sample_scene(3, "fan")
    slow, fast = scene.frames(size=SIZE, count=4, frame_rate=4), scene.frames(size=SIZE, count=20, frame_rate=20)
    for index in range(4):  # both are exposed at (index + 1/2) / 4 s
        assert np.abs(slow[index].astype(int) - fast[5 * index + 2]).mean() < 8


def test_a_shorter_sound_is_the_beginning_of_the_longer():
    scene = sample_scene(2, "rain", SHORT)
    np.testing.assert_array_equal(scene.sound(5000), scene.sound()[:5000])


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (lambda: sample_scene(0, "opera"), "'opera' is unknown: expected one of bounce, hammer"),
        (lambda: sample_scene(-1), "seed"),
        (lambda: sample_scene(0, duration=1.0), "4 to 60 s"),
        (lambda: sample_scene(0, duration=4.0).sound(64_001), "1 to 64000 samples"),
        (lambda: sample_scene(0).frames(size=2), "8 pixels"),
        (lambda: sample_scene(0).frames(frame_rate=0), "positive rate"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(wish, message):
    with pytest.raises(SceneError, match=message):
        wish()
