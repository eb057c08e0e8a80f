"""Judges long films beside their windows alone and their real sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.evaluation.film import Film, FilmSounds
from mdsgen.evaluation.film_scores import COLUMNS, FilmScore, FilmScores, Hearing
from mdsgen.evaluation.judge import Judge, fitted
from mdsgen.report import Report, counted, silent


@dataclass
class FilmEvaluation:
    """Films with what was heard of three sounds of each."""

    films: list[Film] = field(default_factory=list)
    heard: list[Mapping[str, Hearing]] = field(default_factory=list)

    def add(self, judge: Judge, film: Film, sounds: FilmSounds) -> None:
        """Judge what was generated for a film, and its real sound."""
        three = dict(zip(COLUMNS, (sounds.whole, sounds.alone, film.sound), strict=True))
        cuts = np.array(film.starts[1:])
        joins = {"film": sounds.joins, "alone": cuts, "real": sounds.joins}
        windows = [
            judge.predict(pictures, [fitted(film.part(sound, start)) for sound in three.values()])
            for start, pictures in zip(film.judged, film.pictures(), strict=True)
        ]
        self.films.append(film)
        self.heard.append(
            {
                name: Hearing.of(film, sound, joins[name], [window[place] for window in windows])
                for place, (name, sound) in enumerate(three.items())
            }
        )

    @property
    def scores(self) -> FilmScores:
        """What was heard amounts to this."""
        whole, alone, real = (FilmScore.of(self.films, [heard[name] for heard in self.heard]) for name in COLUMNS)
        each = {
            f"{film.scene.seed}, {film.scene.kind}": {name: FilmScore.of([film], [heard[name]]) for name in COLUMNS}
            for film, heard in zip(self.films, self.heard, strict=True)
        }
        return FilmScores(whole, alone, real, each)


def evaluate_films(
    films: Sequence[Film], sounds: Sequence[FilmSounds], *, threads: int | None = None, report: Report = silent
) -> FilmEvaluation:
    """Judge what was generated for each of ``films``. Raises :class:`SettingsError` where the numbers differ.

    The judge hears whole windows of the film one by one; onsets, pitch and seams are those of the film.
    """
    if len(films) != len(sounds) or not films:
        raise SettingsError(f"expected a film or more with sounds each, not {len(films)} with {len(sounds)}")
    evaluation = FilmEvaluation()
    with Judge(threads=threads) as judge:
        pairs = counted(zip(films, sounds, strict=True), len(films), "judging film", report)
        for film, made in pairs:
            evaluation.add(judge, film, made)
    return evaluation
