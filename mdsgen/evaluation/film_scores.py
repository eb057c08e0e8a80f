"""The scores of long films: what is heard of each, and what that amounts to over many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsgen.evaluation.cells import f1, number, percent
from mdsgen.evaluation.film import Film
from mdsgen.evaluation.judge import Prediction
from mdsgen.evaluation.labels import all_impacts
from mdsgen.evaluation.matching import STRICT_TOLERANCE, TOLERANCE, Matches, match
from mdsgen.evaluation.onsets import onsets
from mdsgen.evaluation.pitch import CONSTANT, DULL, PitchSteps, pitch_steps
from mdsgen.evaluation.scores import Score
from mdsgen.evaluation.seams import USUAL, Seams, random_joins, seams
from mdsgen.table import aligned

COLUMNS = "film", "alone", "real"
"""The three sounds of a film: as a whole, its windows alone, and the scene's own."""


@dataclass(frozen=True)
class Hearing:
    """One sound of a film: the judge's ``windows``, the ``found`` onsets in seconds, pitch and seams.

    ``chance`` is what :func:`~mdsgen.evaluation.seams.seams` says of as many instants anywhere in the same sound.
    """

    windows: tuple[Prediction, ...]
    found: np.ndarray
    pitch: PitchSteps
    dull_pitch: PitchSteps
    seams: Seams
    chance: Seams

    @classmethod
    def of(cls, film: Film, sound: np.ndarray, joins: np.ndarray, windows: Sequence[Prediction]) -> Hearing:
        """Of a ``sound [samples]`` with ``joins`` in seconds, of which the judge has heard the windows."""
        truth, instants = film.scene.truth, random_joins(joins, film.scene.duration, film.scene.seed)
        return cls(
            tuple(windows),
            onsets(sound),
            pitch_steps(sound, truth, film.window),
            pitch_steps(sound, truth, film.window, DULL),
            seams(sound, joins, film.blows),
            seams(sound, instants, film.blows),
        )

    def matches(self, film: Film, tolerance: float) -> Matches | None:
        """Onsets found and true; None where not everything in the film sounds in blows."""
        return match(self.found, film.onsets, tolerance) if all_impacts(film.scene.truth) else None


@dataclass(frozen=True)
class FilmScore:
    """Of one kind of sound over ``films``; None, or nothing added up, where there was nothing to judge.

    ``windows``: the judge's, of the whole windows in which anything is to be heard. ``onsets`` and ``strict_onsets``:
    of the films as wholes, in which everything sounds in blows. ``pitch``: of bells, hammers and metronomes;
    ``dull_pitch``: of drums and balls. ``seams``: at the joins; ``chance``: at as many random instants.
    """

    films: int
    windows: Score
    onsets: Matches | None
    strict_onsets: Matches | None
    pitch: PitchSteps
    dull_pitch: PitchSteps
    seams: Seams
    chance: Seams

    @classmethod
    def of(cls, films: Sequence[Film], hearings: Sequence[Hearing]) -> FilmScore:
        """Of as many films and hearings."""
        pairs = list(zip(films, hearings, strict=True))
        windows = Score.of(
            [window for hearing in hearings for window in hearing.windows],
            [film.scene.truth for film in films for _ in film.judged],
            [film.within(start) for film in films for start in film.judged],
        )
        return cls(
            films=len(pairs),
            windows=windows,
            onsets=_summed(hearing.matches(film, TOLERANCE) for film, hearing in pairs),
            strict_onsets=_summed(hearing.matches(film, STRICT_TOLERANCE) for film, hearing in pairs),
            pitch=sum((hearing.pitch for hearing in hearings), PitchSteps()),
            dull_pitch=sum((hearing.dull_pitch for hearing in hearings), PitchSteps()),
            seams=sum((hearing.seams for hearing in hearings), Seams()),
            chance=sum((hearing.chance for hearing in hearings), Seams()),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        onsets, strict = self.onsets, self.strict_onsets
        return {
            "films": self.films,
            "windows": self.windows.clips,
            **{name: getattr(self.windows, name) for name in ("aligned", "kind", "material", "hop_autocorrelation")},
            "onset_f1": onsets and onsets.f1,
            "onset_f1_strict": strict and strict.f1,
            "onsets": onsets and onsets.true,
            "pitch_semitones": self.pitch.median,
            "pitch_constant": self.pitch.constant,
            "pitch_blows": len(self.pitch.semitones),
            "dull_pitch_semitones": self.dull_pitch.median,
            "dull_pitch_constant": self.dull_pitch.constant,
            "dull_pitch_blows": len(self.dull_pitch.semitones),
            "joins": self.seams.joins,
            "joins_usual": self.seams.share,
            "random_instants_usual": self.chance.share,
        }


@dataclass(frozen=True)
class FilmScores:
    """The same of films as wholes, of their windows alone and of real sound; and the figures of each film.

    The windows alone have joins of their own: where one ends and the next begins, without a fade. Real sound is looked
    at where the whole has its joins.
    """

    whole: FilmScore
    alone: FilmScore
    real: FilmScore
    films: Mapping[str, Mapping[str, FilmScore]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **{name: score.to_dict() for name, score in self._columns.items()},
            "films": {
                name: {column: score.to_dict() for column, score in columns.items()}
                for name, columns in self.films.items()
            },
        }

    @property
    def _columns(self) -> dict[str, FilmScore]:
        return dict(zip(COLUMNS, (self.whole, self.alone, self.real), strict=True))

    @property
    def tables(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """Rows of words, the first one of each as its head: of all films, and film by film."""
        rows = [(name, *map(cell, self._columns.values())) for name, cell in _ROWS.items()]
        every = [("", "film", "windows alone", "real"), *(row for row in rows if any(row[1:]))]
        head = ("", *(f"{what}, {name}" for what, _ in _CELLS for name in COLUMNS))
        each = [
            (name, *(cell(columns[column]) for _, cell in _CELLS for column in COLUMNS))
            for name, columns in self.films.items()
        ]
        filled = [place for place in range(len(head)) if place == 0 or any(row[place] for row in each)]
        return every, [tuple(row[place] for place in filled) for row in (head, *each)]

    def page(self) -> str:
        """Both tables as lines."""
        return "\n\n".join(aligned(table, figures=True) for table in self.tables)


Cell = Callable[[FilmScore], str]

_ROWS: dict[str, Cell] = {
    "films": lambda score: f"{score.films}",
    "windows judged": lambda score: f"{score.windows.clips}",
    "called aligned": lambda score: percent(score.windows.aligned),
    "kind heard as seen": lambda score: percent(score.windows.kind),
    "material heard as seen": lambda score: percent(score.windows.material),
    "onset F1 at ±125 ms": lambda score: f1(score.onsets),
    "onset F1 at ±50 ms": lambda score: f1(score.strict_onsets),
    "hop autocorrelation": lambda score: number(score.windows.hop_autocorrelation),
    "pitch, semitones off": lambda score: number(score.pitch.median),
    f"blows within {CONSTANT} semitones": lambda score: percent(score.pitch.constant),
    "drums and balls, semitones off": lambda score: number(score.dull_pitch.median),
    f"drums and balls within {CONSTANT}": lambda score: percent(score.dull_pitch.constant),
    "joins looked at": lambda score: f"{score.seams.joins}" if score.seams.joins else "",
    f"joins as {100 * USUAL:.0f} % elsewhere": lambda score: percent(score.seams.share),
    "random instants likewise": lambda score: percent(score.chance.share),
}

_CELLS: tuple[tuple[str, Cell], ...] = (
    ("pitch", lambda score: number((score.pitch + score.dull_pitch).median)),
    ("F1 ±125", lambda score: f1(score.onsets)),
    ("±50", lambda score: f1(score.strict_onsets)),
    ("joins", lambda score: percent(score.seams.share)),
)
"""What is shown film by film."""


def _summed(matches: Iterable[Matches | None]) -> Matches | None:
    counted = [each for each in matches if each is not None]
    return sum(counted, Matches()) if counted else None
