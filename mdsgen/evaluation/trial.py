"""Several ways to make a sound, side by side on the same held-out scenes: each clip by all of them, then the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdsgen.evaluation.ear import Ear, Verdict
from mdsgen.evaluation.frechet import frechet_distance
from mdsgen.evaluation.held_out import Clip, held_out
from mdsgen.evaluation.scores import Score
from mdsgen.evaluation.spectrogram import log_mel
from mdsgen.report import Report

_RANGE = 100.0  # decibels from 0 to 1 in the evaluation's log-mel spectrogram

Sounds = Callable[[Clip, np.ndarray], Iterable[np.ndarray]]
"""``sounds(clip, frames uint8 [33, 224, 224, 3])``: the sound ``[131072]`` of each way, the reference's first."""


@dataclass
class Trial:
    """One way: what was heard of its sounds, and how far their spectrograms are from the reference's."""

    verdicts: list[Verdict] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def figures(self, clips: Sequence[Clip], real: Sequence[Verdict]) -> dict[str, Any]:
        """Its figures as plain JSON values."""
        heard = np.stack([verdict.embedding for verdict in self.verdicts])
        truth = np.stack([verdict.embedding for verdict in real])
        score = Score.of(
            self.verdicts,
            [clip.scene.truth for clip in clips],
            [clip.onsets for clip in clips],
            frechet_distance(heard, truth),
        )
        figures = score.to_dict()
        return {
            "log_mel_decibels": float(np.mean(self.distances)),
            **{name: figures[name] for name in ("aligned", "kind", "material", "onset_f1", "frechet")},
        }


def try_all(
    names: Sequence[str],
    sounds: Sounds,
    *,
    clips: int,
    first_seed: int = 0,
    threads: int | None = None,
    report: Report = lambda line: None,
) -> dict[str, dict[str, Any]]:
    """Figures by name, the reference's first.

    ``log_mel_decibels`` is the mean distance of spectrograms from the reference's; the others are those of
    :class:`~mdsgen.evaluation.scores.Score`. ``threads`` are the judge's.
    """
    trials = {name: Trial() for name in names}
    judged: list[Clip] = []
    real: list[Verdict] = []
    with Ear(threads=threads) as ear:
        for clip, frames in held_out(clips, first_seed):
            made = list(sounds(clip, frames))
            truth, *verdicts = ear.listen(clip.pictures, [clip.sound, *made])
            judged.append(clip)
            real.append(truth)
            expected = log_mel(made[0])  # [frames, bins]
            for trial, sound, verdict in zip(trials.values(), made, verdicts, strict=True):
                trial.verdicts.append(verdict)
                trial.distances.append(_RANGE * float(np.abs(log_mel(sound) - expected).mean()))
            report(f"clip {len(judged)} of {clips}: {clip.scene.kind}")
    return {name: trial.figures(judged, real) for name, trial in trials.items()}
