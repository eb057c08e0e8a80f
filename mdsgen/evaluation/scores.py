"""The scores of many clips, out of the predictions for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsgen.evaluation.cells import f1, number, percent
from mdsgen.evaluation.judge import Prediction
from mdsgen.evaluation.labels import MATERIALS, all_impacts, kinds_of, materials_of
from mdsgen.evaluation.matching import STRICT_TOLERANCE, TOLERANCE, Matches, match
from mdsgen.evaluation.periodicity import all_noise
from mdsgen.scenes import Truth
from mdsgen.table import aligned


@dataclass(frozen=True)
class Score:
    """Shares of ``clips``; None where there was nothing to judge.

    ``aligned``: called aligned with the pictures. ``kind``: what is heard most clearly is one of the things that are
    seen. ``material``: what the scene's main thing is heard to be made of is what it, or another of its kind there, is
    made of; of kinds that come in several materials. ``onsets``: over scenes in which everything sounds in blows;
    ``strict_onsets``: the same with less tolerance. ``hop_autocorrelation``: the mean of its magnitude over scenes in
    which everything is noise. ``diversity``: how much a seed changes, where there were several
    (:func:`~mdsgen.evaluation.diversity.diversity`). ``frechet``: distance from the sounds of the same scenes; of real
    sound, between every other of them and the rest.
    """

    clips: int
    aligned: float | None = None
    kind: float | None = None
    material: float | None = None
    onsets: Matches | None = None
    strict_onsets: Matches | None = None
    hop_autocorrelation: float | None = None
    diversity: float | None = None
    frechet: float | None = None

    @classmethod
    def of(
        cls,
        predictions: Sequence[Prediction],
        truths: Sequence[Truth],
        onset_times: Sequence[np.ndarray],
        frechet: float | None = None,
    ) -> Score:
        """Of as many predictions, truths and onsets."""
        pairs = list(zip(predictions, truths, strict=True))
        blows = [
            (prediction.onsets, times)
            for (prediction, truth), times in zip(pairs, onset_times, strict=True)
            if all_impacts(truth)
        ]
        periodic = [abs(prediction.hop_autocorrelation) for prediction, truth in pairs if all_noise(truth)]
        return cls(
            clips=len(pairs),
            aligned=_share([prediction.aligned for prediction in predictions]),
            kind=_share([prediction.kind in kinds_of(truth) for prediction, truth in pairs]),
            material=_share(
                [
                    prediction.material(truth.kind) in materials_of(truth, truth.kind)
                    for prediction, truth in pairs
                    if truth.kind in MATERIALS
                ]
            ),
            onsets=_matches(blows, TOLERANCE),
            strict_onsets=_matches(blows, STRICT_TOLERANCE),
            hop_autocorrelation=float(np.mean(periodic)) if periodic else None,
            frechet=frechet,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        onsets, strict = self.onsets, self.strict_onsets
        return {
            "clips": self.clips,
            "aligned": self.aligned,
            "kind": self.kind,
            "material": self.material,
            "onset_f1": onsets and onsets.f1,
            "onset_f1_strict": strict and strict.f1,
            "onset_precision": onsets and onsets.precision,
            "onset_recall": onsets and onsets.recall,
            "onsets": onsets and onsets.true,
            "hop_autocorrelation": self.hop_autocorrelation,
            "diversity": self.diversity,
            "frechet": self.frechet,
        }


@dataclass(frozen=True)
class Scores:
    """The same of generated sound and of what it is measured against: real, shuffled among the scenes, shifted.

    Shifted sound is judged for its alignment and its onsets alone, in scenes where a shift can be heard. ``kinds`` are
    the scores of the generated sound by kind of scene, ``real_kinds`` those of the real one, which are what the judge
    lets any sound reach.
    """

    generated: Score
    real: Score
    shuffled: Score
    shifted: Score
    kinds: Mapping[str, Score]
    real_kinds: Mapping[str, Score]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        columns = {name: score.to_dict() for name, score in self._columns.items()}
        by_kind = {"kinds": self.kinds, "real_kinds": self.real_kinds}
        return columns | {
            name: {kind: score.to_dict() for kind, score in kinds.items()} for name, kinds in by_kind.items()
        }

    @property
    def _columns(self) -> dict[str, Score]:
        return {"generated": self.generated, "real": self.real, "shuffled": self.shuffled, "shifted": self.shifted}

    @property
    def tables(self) -> tuple[list[tuple[str, ...]], ...]:
        """Rows of words, the first one of each as its head: against the references, then generated and real sound by
        kind of scene."""
        by_kind = {"generated": self.kinds, "real": self.real_kinds}
        of_kinds = [list(zip(*_table(kinds, name), strict=True)) for name, kinds in by_kind.items()]
        return _table(self._columns), *of_kinds

    def page(self) -> str:
        """The tables as lines."""
        return "\n\n".join(aligned(table, figures=True) for table in self.tables)


_ROWS: dict[str, Callable[[Score], str]] = {
    "clips": lambda score: f"{score.clips}",
    "called aligned": lambda score: percent(score.aligned),
    "kind heard as seen": lambda score: percent(score.kind),
    "material heard as seen": lambda score: percent(score.material),
    "onset F1 at ±125 ms": lambda score: f1(score.onsets),
    "onset F1 at ±50 ms": lambda score: f1(score.strict_onsets),
    "hop autocorrelation": lambda score: number(score.hop_autocorrelation),
    "diversity across seeds": lambda score: number(score.diversity),
    "Fréchet distance": lambda score: number(score.frechet),
}


def _table(columns: Mapping[str, Score], name: str = "") -> list[tuple[str, ...]]:
    """A row for each score that anything has, below a head that begins with the table's name."""
    rows = [(name, *map(cell, columns.values())) for name, cell in _ROWS.items()]
    return [(name, *columns), *(row for row in rows if any(row[1:]))]


def _matches(rows: Sequence[tuple[np.ndarray, np.ndarray]], tolerance: float) -> Matches | None:
    """Of pairs of found and true onsets, added up."""
    return sum((match(found, true, tolerance) for found, true in rows), Matches()) if rows else None


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
