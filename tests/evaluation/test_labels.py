"""What is said to be heard in a scene follows from its truth."""

from __future__ import annotations

import numpy as np

from mdsgen.evaluation.labels import (
    LOWEST_PITCH,
    MATERIALS,
    PITCHES,
    SOUNDS,
    all_impacts,
    intensities,
    label,
    onset_times,
    pitches,
)
from mdsgen.scenes import KINDS, Event, Source, Truth, sample_scene


def truth_of(*sources: tuple[str, str, list[tuple[float, float]]]) -> Truth:
    return Truth(
        tuple(
            Source(kind, material, tuple(Event(time, strength, material, kind) for time, strength in events))
            for kind, material, events in sources
        )
    )


def named(row: np.ndarray) -> set[str]:
    names = [*KINDS, *(f"{material} {kind}" for kind, material in SOUNDS)]
    return {name for name, there in zip(names, row, strict=True) if there}


def test_every_scene_has_materials_that_are_known() -> None:
    for seed in range(300):
        for source in sample_scene(seed).truth.sources:
            assert source.kind not in MATERIALS or source.material in MATERIALS[source.kind]


def test_kinds_of_one_material_have_no_material_to_tell() -> None:
    materials = {kind: {sample_scene(seed, kind).truth.material for seed in range(40)} for kind in KINDS}
    assert {kind: set(known) for kind, known in MATERIALS.items()} == {
        kind: found for kind, found in materials.items() if len(found) > 1
    }


def test_all_sources_are_labelled() -> None:
    truth = truth_of(("bounce", "glass", [(1.0, 1.0)]), ("drum", "skin", [(2.0, 1.0)]))
    present, certain = label(truth, 0.0, 8.0)
    assert named(present) == {"bounce", "drum", "glass bounce"}
    assert certain.all()


def test_what_is_silent_is_uncertain() -> None:
    truth = truth_of(("bounce", "glass", [(1.0, 1.0)]), ("bounce", "wood", [(5.0, 1.0)]))
    present, certain = label(truth, 4.0, 8.0)
    assert named(present) == {"bounce", "glass bounce", "wood bounce"}
    assert named(~certain) == {"glass bounce"}


def test_a_fan_that_stands_still_is_uncertain() -> None:
    fan = Source("fan", "air", (), np.repeat(np.float32([0.0, 1.0]), 200))
    assert named(~label(Truth((fan,)), 0.0, 3.5)[1]) == {"fan"}
    assert label(Truth((fan,)), 0.0, 8.0)[1].all()


def test_how_strongly_something_sounds_is_that_of_the_first_that_always_does() -> None:
    ball = Source("bounce", "wood", ())
    fan = Source("fan", "air", (), np.repeat(np.float32([0.0, 1.0]), 200))
    times = np.array([0.5, 3.9, 4.1, 60.0])
    np.testing.assert_array_equal(intensities(Truth((ball, fan)), times), [0, 0, 1, 1])
    np.testing.assert_array_equal(intensities(Truth((ball,)), times), np.zeros(4))


def test_pitches_are_whole_tones_of_which_several_may_sound() -> None:
    bell = Source("bell", "metal", (), pitch=np.array([LOWEST_PITCH * 2.0**5]))  # the 31st: six whole tones an octave
    engine = Source("engine", "metal", (), pitch=np.repeat(LOWEST_PITCH * 2.0 ** np.array([2.0, 2.25]), 200))
    found = pitches(Truth((bell, engine, Source("drum", "skin", ()))), np.array([0.5, 4.5, 60.0]))
    assert found.shape == (3, PITCHES)
    np.testing.assert_array_equal(found[:, 30], 1.0)
    np.testing.assert_allclose(found[:, 12], [1.0, np.exp(-1.125), np.exp(-1.125)], rtol=1e-6)  # 1.5 whole tones away
    np.testing.assert_allclose(found[1:, 13], np.exp(-0.125), rtol=1e-6)
    assert found[0, 20] < 1e-6


def test_every_pitch_of_a_scene_is_within_the_scale() -> None:
    for seed in range(200):
        for source in sample_scene(seed).truth.sources:
            if source.pitch is not None:
                assert (
                    LOWEST_PITCH <= source.pitch.min() <= source.pitch.max() < LOWEST_PITCH * 2 ** ((PITCHES - 1) / 6)
                )


def test_weak_and_crowded_events_are_no_onsets() -> None:
    events = [(1.0, 1.0), (1.05, 0.9), (1.11, 0.8), (2.0, 0.05), (3.0, 0.2), (9.0, 1.0)]
    np.testing.assert_array_equal(onset_times(truth_of(("bounce", "wood", events)), 8.0), [1.0, 1.11, 3.0])


def test_only_scenes_of_blows_alone_are_scored_by_onsets() -> None:
    assert all_impacts(truth_of(("bounce", "wood", []), ("bell", "metal", [])))
    assert not all_impacts(truth_of(("bounce", "wood", []), ("fire", "wood", [])))
