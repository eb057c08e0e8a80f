"""Several ways to make a sound, compared on the same held-out scenes: each clip by all of them, then the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdsgen.evaluation.frechet import frechet_distance
from mdsgen.evaluation.held_out import Clip, held_out
from mdsgen.evaluation.judge import Judge, Prediction
from mdsgen.evaluation.scores import Score
from mdsgen.evaluation.spectrogram import log_mel
from mdsgen.experiments.setup import Setup
from mdsgen.report import Report, silent

_RANGE = 100.0  # decibels from 0 to 1 in the evaluation's log-mel spectrogram

Sounds = Callable[[Clip], Iterable[np.ndarray]]
"""``sounds(clip)``: the sound ``[131072]`` of each way, the reference's first."""


@dataclass
class Variant:
    """One way: the predictions for its sounds, and how far their spectrograms are from the reference's."""

    predictions: list[Prediction] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def figures(self, clips: Sequence[Clip], real: Sequence[Prediction]) -> dict[str, Any]:
        """Its figures as plain JSON values."""
        heard = np.stack([prediction.embedding for prediction in self.predictions])
        truth = np.stack([prediction.embedding for prediction in real])
        score = Score.of(
            self.predictions,
            [clip.scene.truth for clip in clips],
            [clip.onsets for clip in clips],
            frechet_distance(heard, truth),
        )
        figures = score.to_dict()
        return {
            "mel_error_db": float(np.mean(self.distances)),
            **{name: figures[name] for name in ("aligned", "kind", "material", "onset_f1", "frechet")},
        }


def compare_variants(
    names: Sequence[str], sounds: Sounds, setup: Setup, report: Report = silent
) -> dict[str, dict[str, Any]]:
    """Figures by name, the reference's first.

    ``mel_error_db`` is the mean distance of spectrograms from the reference's; the others are those of
    :class:`~mdsgen.evaluation.scores.Score`.
    """
    variants = {name: Variant() for name in names}
    judged: list[Clip] = []
    real: list[Prediction] = []
    with Judge(threads=setup.threads) as judge:
        for clip in held_out(setup.clips, setup.first_seed):
            made = list(sounds(clip))
            truth, *predictions = judge.predict(clip.pictures, [clip.sound, *made])
            judged.append(clip)
            real.append(truth)
            expected = log_mel(made[0])  # [frames, bins]
            for variant, sound, prediction in zip(variants.values(), made, predictions, strict=True):
                variant.predictions.append(prediction)
                variant.distances.append(_RANGE * float(np.abs(log_mel(sound) - expected).mean()))
            report(f"clip {len(judged)} of {setup.clips}: {clip.scene.kind}")
    return {name: variant.figures(judged, real) for name, variant in variants.items()}
