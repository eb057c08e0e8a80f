"""Seeds that change nothing, as much as another film would, or something between."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.evaluation import Clip, evaluate
from mdsgen.evaluation.diversity import diversity

REAL = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]])
KINDS = ["bell", "bell", "drum"]


def test_the_same_sound_for_every_seed_has_none() -> None:
    assert diversity([np.ones((3, 2))] * 3, REAL, KINDS) == 0.0


def test_seeds_as_far_apart_as_films_of_a_kind_are_1() -> None:
    seeds = [
        np.array([[0.0, 0.0], [0.0, 4.0]]),
        np.array([[4.0, 0.0], [4.0, 2.0]]),
        np.array([[0.0, 0.0], [50.0, 0.0]]),
    ]
    assert diversity(seeds[:1] * 2, REAL[:2], KINDS[:2]) == pytest.approx(1.0)
    assert diversity(seeds, REAL, KINDS) == pytest.approx(0.75), "a drum alone has nothing to be compared with"


def test_one_seed_or_one_film_of_each_kind_says_nothing() -> None:
    assert diversity([np.ones((1, 2))] * 3, REAL, KINDS) is None
    assert diversity([np.ones((2, 2))] * 2, REAL[1:], KINDS[1:]) is None
    assert diversity([np.ones((2, 2))] * 2, REAL[:1].repeat(2, axis=0), KINDS[:2]) is None


def test_clips_with_sounds_of_other_seeds_have_a_figure_for_all_and_by_kind(clips: list[Clip]) -> None:
    bells = [clip for clip in clips if clip.scene.kind == "bell"]
    real = [clip.sound for clip in bells]
    same = evaluate(bells, real, again=[[sound] for sound in real], threads=1).scores
    assert same.generated.diversity == same.kinds["bell"].diversity == 0.0
    swapped = evaluate(bells, real, again=[[sound] for sound in real[::-1]], threads=1).scores
    assert swapped.generated.diversity == pytest.approx(1.0, rel=0.01)
    assert "diversity across seeds" in swapped.page()
    alone = evaluate(bells, real, threads=1).scores
    assert alone.generated.diversity is None
    assert alone.to_dict()["generated"]["diversity"] is None
