"""Long films: a sound that is right all through, and one that changes from window to window."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mdsgen.errors import SettingsError
from mdsgen.evaluation import Film, FilmEvaluation, FilmSounds, Selection, evaluate_films
from mdsgen.evaluation.page import write_page
from mdsgen.evaluation.page_items import film_items
from mdsgen.geometry import DEMO, RELEASE, SAMPLE_RATE
from mdsgen.scenes import sample_scene

SECONDS = 17.0


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """A bell and rain, each alone."""
    return [Film(sample_scene(seed, kind, SECONDS)) for seed, kind in ((70_003, "bell"), (70_004, "rain"))]


@pytest.fixture(scope="module")
def sounds(films: list[Film]) -> list[FilmSounds]:
    """The real sound as a whole; the windows alone are higher by two semitones from the second one on."""
    joins = np.arange(7.936, SECONDS, 1.024)
    return [FilmSounds(film.sound, joins, _higher(film)) for film in films]


@pytest.fixture(scope="module")
def evaluation(films: list[Film], sounds: list[FilmSounds]) -> FilmEvaluation:
    return evaluate_films(films, sounds, threads=1)


def _higher(film: Film) -> np.ndarray:
    """A film whose later windows play faster, by two semitones, and are silent at their ends."""
    parts = []
    for start in film.starts:
        part = film.part(film.sound, start)
        places = np.arange(len(part)) * (2 ** (2 / 12) if start else 1.0)
        parts.append(np.interp(places, np.arange(len(part)), part, right=0.0))
    return np.concatenate(parts).astype(np.float32)


def test_real_sound_as_a_whole_keeps_pitch_time_and_has_no_seams(evaluation: FilmEvaluation) -> None:
    scores = evaluation.scores
    assert scores.whole == scores.real
    assert scores.whole.films == 2
    assert scores.whole.windows.clips == 4, "two whole windows of each"
    assert (scores.whole.windows.aligned or 0) >= 0.75
    assert scores.whole.onsets is not None
    assert scores.whole.onsets.f1 >= 0.9
    assert scores.whole.pitch.median == pytest.approx(0, abs=0.05)
    assert scores.whole.seams.joins > 12
    assert (scores.whole.seams.share or 0) >= 0.8


def test_windows_that_are_imagined_apart_are_found_out(evaluation: FilmEvaluation) -> None:
    alone = evaluation.scores.alone
    assert alone.pitch.median == pytest.approx(2, abs=0.1)
    assert alone.pitch.constant == 0.0
    assert alone.onsets is not None
    assert alone.onsets.f1 < 0.8
    assert alone.seams.joins <= 2 * len(evaluation.films[0].starts)


def test_tables_and_document_have_all_films_and_each(evaluation: FilmEvaluation) -> None:
    scores = evaluation.scores
    every, each = scores.tables
    assert every[0] == ("", "film", "windows alone", "real")
    assert all(any(row[1:]) for row in every)
    assert {"pitch, semitones off", "joins as 95 % elsewhere", "onset F1 at ±50 ms"} <= {row[0] for row in every}
    assert "drums and balls, semitones off" not in {row[0] for row in every}, "there are none"
    assert [row[0] for row in each] == ["", "70003, bell", "70004, rain"]
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert set(document) == {"film", "alone", "real", "films"}
    assert document["alone"]["pitch_semitones"] == pytest.approx(2, abs=0.1)
    assert document["films"]["70004, rain"]["film"]["onset_f1"] is None
    assert document["films"]["70003, bell"]["alone"]["pitch_blows"] == document["alone"]["pitch_blows"] > 0


def test_the_page_plays_films_in_full_with_marks_at_their_joins(
    evaluation: FilmEvaluation, sounds: list[FilmSounds], tmp_path: Path
) -> None:
    item = next(film_items(evaluation, sounds))
    write_page(tmp_path / "page.html", evaluation.scores.tables, [item], {})
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count('src="data:video/mp4') == 3
    assert page.count("<div class='time row joined'>") == 2, "real sound has no joins"
    assert "becomes the next one's" in page
    assert page.count("data-seconds=17") == 3
    assert "15 s</span>" in page


def test_windows_of_a_film_tile_it_and_those_without_blows_are_not_judged() -> None:
    film = Film(sample_scene(70_003, "bell", SECONDS), RELEASE.duration)
    assert film.starts == pytest.approx(np.arange(0, SECONDS, RELEASE.duration))
    assert all(len(film.part(film.sound, start)) == RELEASE.samples for start in film.judged)
    times = np.concatenate([film.within(start) + start for start in film.starts])
    np.testing.assert_allclose(times, film.onsets)
    (first, *_) = film.pictures()
    assert first.shape == (32, 56, 56, 3)
    still = Film(sample_scene(70_003, "bell", SECONDS), 0.5)
    assert 0 < len(still.judged) < len(still.starts) - 1


def test_a_selection_takes_kinds_in_turn_and_nothing_that_is_trained_on() -> None:
    scenes = list(Selection(3, 5, ("bell", "drum"), 17.0).scenes())
    assert [(scene.seed, scene.kind, scene.duration) for scene in scenes] == [
        (5, "bell", 17.0),
        (6, "drum", 17.0),
        (7, "bell", 17.0),
    ]
    with pytest.raises(SettingsError, match="trained on"):
        Selection(2, 99_999)
    with pytest.raises(SettingsError, match="unknown"):
        Selection(2, 0, ("trumpet",))
    assert DEMO.duration == Selection(1).seconds


def test_numbers_that_do_not_fit_are_refused(films: list[Film], sounds: list[FilmSounds]) -> None:
    with pytest.raises(SettingsError, match="a film or more"):
        evaluate_films(films, sounds[:1])
    with pytest.raises(SettingsError, match="a film or more"):
        evaluate_films([], [])
    assert len(films[0].sound) == SECONDS * SAMPLE_RATE
