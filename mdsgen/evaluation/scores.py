"""The scores of many clips, out of the predictions for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdsgen.evaluation.judge import Prediction
from mdsgen.evaluation.labels import MATERIALS, all_impacts, kinds_of, materials_of
from mdsgen.evaluation.matching import Matches, match
from mdsgen.scenes import Truth
from mdsgen.table import aligned


@dataclass(frozen=True)
class Score:
    """Shares of ``clips``; None where there was nothing to judge.

    ``aligned``: called aligned with the pictures. ``kind``: what is heard most clearly is one of the things that are
    seen. ``material``: what the scene's main thing is heard to be made of is what it, or another of its kind there, is
    made of; of kinds that come in several materials. ``onsets``: over scenes in which everything sounds in blows.
    ``frechet``: distance from the sounds of the same scenes; of real sound, between every other of them and the rest.
    """

    clips: int
    aligned: float | None = None
    kind: float | None = None
    material: float | None = None
    onsets: Matches | None = None
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
            match(prediction.onsets, times)
            for (prediction, truth), times in zip(pairs, onset_times, strict=True)
            if all_impacts(truth)
        ]
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
            onsets=sum(blows, Matches()) if blows else None,
            frechet=frechet,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        onsets = self.onsets
        return {
            "clips": self.clips,
            "aligned": self.aligned,
            "kind": self.kind,
            "material": self.material,
            "onset_f1": onsets and onsets.f1,
            "onset_precision": onsets and onsets.precision,
            "onset_recall": onsets and onsets.recall,
            "onsets": onsets and onsets.true,
            "frechet": self.frechet,
        }


@dataclass(frozen=True)
class Scores:
    """The same of generated sound and of what it is measured against: real, shuffled among the scenes, shifted.

    Shifted sound is judged for its alignment and its onsets alone, in scenes where a shift can be heard. ``kinds`` are
    the scores of the generated sound by kind of scene.
    """

    generated: Score
    real: Score
    shuffled: Score
    shifted: Score
    kinds: Mapping[str, Score]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        columns = {name: getattr(self, name).to_dict() for name in ("generated", "real", "shuffled", "shifted")}
        return {**columns, "kinds": {kind: score.to_dict() for kind, score in self.kinds.items()}}

    def page(self) -> str:
        """Two tables: against the references, and by kind."""
        references = {
            "generated": self.generated,
            "real": self.real,
            "shuffled": self.shuffled,
            "shifted": self.shifted,
        }
        across, down = _table(references), list(zip(*_table(self.kinds), strict=True))
        return "\n\n".join(aligned(table, figures=True) for table in (across, down))


_ROWS: dict[str, Callable[[Score], str]] = {
    "clips": lambda score: f"{score.clips}",
    "called aligned": lambda score: _percent(score.aligned),
    "kind heard as seen": lambda score: _percent(score.kind),
    "material heard as seen": lambda score: _percent(score.material),
    "onset F1 at ±125 ms": lambda score: "" if score.onsets is None else f"{score.onsets.f1:.3f}",
    "Fréchet distance": lambda score: "" if score.frechet is None else f"{score.frechet:.2f}",
}


def _table(columns: Mapping[str, Score]) -> list[tuple[str, ...]]:
    return [("", *columns), *((name, *map(cell, columns.values())) for name, cell in _ROWS.items())]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
