"""The page holds everything that is to be seen and heard."""

from __future__ import annotations

import base64
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.evaluation import Clip, Evaluation
from mdsgen.evaluation.page import write_page
from mdsgen.evaluation.page_items import clip_items
from mdsgen.evaluation.picture import FOUND_COLOUR, film_strip, film_with_sound, marks, spectrogram
from mdsgen.geometry import DEMO
from mdsgen.media import probe, read_sound


@pytest.fixture(scope="module")
def page(clips: list[Clip], evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    items = islice(clip_items(evaluation, [0.5 * clip.sound for clip in clips]), 2)
    write_page(path, evaluation.scores.tables, items, {"bundle": "<of & mine>"})
    return path.read_text("utf-8")


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "&lt;of &amp; mine&gt;" in page
    assert "called aligned" in page


def test_scores_are_tables_with_a_head(page: str, evaluation: Evaluation) -> None:
    assert page.count("<table>") == 3
    rows = re.findall(r"<tr><th>(.*?)</tr>", page)
    cells = [tuple(re.split("<t[hd]>", row)) for row in rows]
    assert cells == [row for table in evaluation.scores.tables for row in table]
    assert all(any(row[1:]) for row in cells), "a score that nothing has is no row"


def test_generated_and_real_sound_play_with_the_film(page: str, clips: list[Clip], tmp_path: Path) -> None:
    films = re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert len(films) == 4
    sounds = []
    for index, film in enumerate(films[:2]):
        path = tmp_path / f"{index}.mp4"
        path.write_bytes(base64.b64decode(film))
        info = probe(path)
        assert info.duration == pytest.approx(DEMO.duration, abs=0.05)
        sounds.append(read_sound(info))
    generated, real = (float(np.sqrt(np.mean(np.square(np.concatenate(list(sound)))))) for sound in sounds)
    assert generated == pytest.approx(0.5 * real, rel=0.1)


def test_as_many_clips_are_shown_as_asked_for(page: str) -> None:
    assert page.count("<h2>") == 2
    assert page.count('spectrogram" src="data:image/png') == 4
    assert page.count('film strip" src="data:image/png') == 4


def test_both_rows_of_marks_share_the_axis_of_time(page: str, clips: list[Clip]) -> None:
    (shown, *_) = re.findall(r"<div class='time row true'>(.*?)<span class=head>", page)
    expected = [f"{100 * time / DEMO.duration:.2f}" for time in clips[0].onsets]
    assert re.findall(r"left:([\d.]+)%", shown) == expected
    assert page.count("<div class='time row heard'>") == 4
    assert "something is heard to begin" in page


def test_axes_have_units_and_tones_lie_where_the_spectrogram_has_them(page: str) -> None:
    assert "4000 Hz</span>" in page
    assert "8 s</span>" in page
    (height,) = set(re.findall(r"bottom:([\d.]+)%'>1000<", page))
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000).astype(np.float32)
    row = spectrogram(tone, 50).sum(axis=(1, 2)).argmax()
    assert 1 - row / 256 == pytest.approx(float(height) / 100, abs=0.02)


def test_players_have_a_poster_and_a_line_that_moves_with_them(page: str) -> None:
    assert page.count('poster="data:image/png') == 4
    assert page.count("<span class=head>") == 4 * 4
    assert "currentTime" in page


def test_a_place_that_cannot_be_written_is_an_error(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot write"):
        write_page(tmp_path / "no" / "page.html", evaluation.scores.tables, [], {})


def test_marks_and_spectrogram_share_the_film_strip_s_time() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (32, 8, 8, 3), np.uint8)
    sound = np.zeros(131072, np.float32)
    sound[65536:65700] = 0.5
    picture = film_with_sound(pictures, sound, 8.192, np.array([2.0]), 0.25)
    width = picture.shape[1]
    assert width == round(8.192 * 4 * 8)
    np.testing.assert_array_equal(picture[:8, :256], film_strip(pictures))
    loud = picture[8:-28].sum(axis=(0, 2)).argmax()
    assert loud == pytest.approx(width / 2, abs=2)
    assert (picture[-28:-14, round(2.0 / 8.192 * width)] == FOUND_COLOUR).any()
    assert np.count_nonzero(np.diff((picture[-8, :, 0] > 0).astype(int)) == 1) == 8  # a stroke at every second


def test_a_strip_of_fewer_pictures_takes_as_long() -> None:
    pictures = np.full((17, 8, 8, 3), 9, np.uint8)
    assert film_with_sound(pictures, np.zeros(130_560, np.float32), 8.25, np.empty(0), 0.5).shape[1] == round(16.5 * 8)


def test_low_tones_lie_below() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(32_000) / 16_000).astype(np.float32)
    rows = spectrogram(tone, 50).sum(axis=(1, 2))
    assert rows.argmax() > 200


def test_no_marks_are_a_black_row() -> None:
    assert not marks(np.zeros(0), 8.0, 30, FOUND_COLOUR).any()
