"""Judges generated sound beside the references that its figures are worth something against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.evaluation.diversity import diversity
from mdsgen.evaluation.frechet import frechet_distance
from mdsgen.evaluation.held_out import Clip
from mdsgen.evaluation.judge import Judge, Prediction, fitted, thumbnails
from mdsgen.evaluation.scores import Score, Scores
from mdsgen.report import Report, counted, silent
from mdsgen.scenes import KINDS, Scene

LEAST_FOR_DISTANCE = 10
"""From so many clips on there is a Fréchet distance: of fewer it says more of their number than of their sound."""


@dataclass
class Evaluation:
    """Clips with the predictions on four sounds of each; ``shifted`` has None where no shift could be heard.

    ``again`` are the predictions on what other seeds made of each clip, if any did.
    """

    clips: list[Clip] = field(default_factory=list)
    generated: list[Prediction] = field(default_factory=list)
    real: list[Prediction] = field(default_factory=list)
    shuffled: list[Prediction] = field(default_factory=list)
    shifted: list[Prediction | None] = field(default_factory=list)
    again: list[list[Prediction]] = field(default_factory=list)

    def add(
        self, judge: Judge, clip: Clip, sound: np.ndarray, foreign: np.ndarray, again: Sequence[np.ndarray] = ()
    ) -> None:
        """Judge a sound for a clip, and beside it the real, a foreign and the shifted one; ``again`` of other seeds."""
        shifted = clip.shifted()
        sounds = [sound, clip.sound, foreign] + ([] if shifted is None else [shifted])
        generated, real, shuffled, *late = judge.predict(clip.pictures, [fitted(each) for each in sounds])
        self.clips.append(clip)
        self.generated.append(generated)
        self.real.append(real)
        self.shuffled.append(shuffled)
        self.shifted.append(late[0] if late else None)
        self.again.append(judge.predict(clip.pictures, [fitted(each) for each in again]) if again else [])

    @property
    def scores(self) -> Scores:
        """What the predictions amount to."""
        everyone = range(len(self.clips))
        real = np.stack([prediction.embedding for prediction in self.real])
        generated = np.stack([prediction.embedding for prediction in self.generated])
        halves = real[0::2], real[1::2]
        enough = len(self.clips) >= LEAST_FOR_DISTANCE
        shifted = [(index, late) for index, late in enumerate(self.shifted) if late is not None]
        alone = self._score([late for _, late in shifted], [index for index, _ in shifted])
        of_kinds = {kind: [index for index in everyone if self.clips[index].scene.kind == kind] for kind in KINDS}
        kinds = {kind: chosen for kind, chosen in of_kinds.items() if chosen}
        return Scores(
            generated=replace(
                self._score(self.generated, everyone, frechet_distance(generated, real) if enough else None),
                diversity=self._diversity(everyone),
            ),
            real=self._score(self.real, everyone, frechet_distance(*halves) if enough else None),
            shuffled=self._score(self.shuffled, everyone),
            shifted=Score(alone.clips, alone.aligned, onsets=alone.onsets, strict_onsets=alone.strict_onsets),
            kinds={
                kind: replace(
                    self._score([self.generated[index] for index in chosen], chosen), diversity=self._diversity(chosen)
                )
                for kind, chosen in kinds.items()
            },
            real_kinds={
                kind: self._score([self.real[index] for index in chosen], chosen) for kind, chosen in kinds.items()
            },
        )

    def _diversity(self, indices: Sequence[int]) -> float | None:
        seeds = [[self.generated[index], *self.again[index]] for index in indices]
        return diversity(
            [np.stack([prediction.embedding for prediction in predictions]) for predictions in seeds],
            np.stack([self.real[index].embedding for index in indices]),
            [self.clips[index].scene.kind for index in indices],
        )

    def _score(self, predictions: Sequence[Prediction], indices: Sequence[int], frechet: float | None = None) -> Score:
        clips = [self.clips[index] for index in indices]
        return Score.of(predictions, [clip.scene.truth for clip in clips], [clip.onsets for clip in clips], frechet)


def evaluate(
    clips: Sequence[Clip],
    sounds: Sequence[np.ndarray],
    *,
    again: Sequence[Sequence[np.ndarray]] = (),
    threads: int | None = None,
    report: Report = silent,
) -> Evaluation:
    """Judge ``sounds`` (each ``[samples]``; cut, or silent at the end, to a scene's length) for ``clips``.

    ``again`` are sounds of other seeds for each clip, which are judged for nothing but their diversity.
    The foreign sound of every clip is the real sound of the clip before it. Raises :class:`SettingsError` for fewer
    than two clips, and where the numbers differ.
    """
    if len(clips) != len(sounds) or len(clips) < 2:
        raise SettingsError(f"expected two clips or more with a sound each, not {len(clips)} with {len(sounds)}")
    if again and len(again) != len(clips):
        raise SettingsError(f"expected sounds of other seeds for each of {len(clips)} clips, not for {len(again)}")
    evaluation = Evaluation()
    with Judge(threads=threads) as judge:
        pairs = counted(zip(clips, sounds, strict=True), len(clips), "judging clip", report)
        for index, (clip, sound) in enumerate(pairs):
            evaluation.add(judge, clip, sound, clips[index - 1].sound, again[index] if again else ())
    return evaluation


def score_sounds(frames: Sequence[np.ndarray], sounds: Sequence[np.ndarray], scenes: Sequence[Scene]) -> Scores:
    """The scores of ``sounds [N][samples]`` for films ``[N]`` of uint8 ``[32 or more, k·56, k·56, 3]``.

    The scenes say what should be heard, and make the sounds that the references are judged on.
    """
    if len(frames) != len(scenes):
        raise SettingsError(f"expected a film for each of {len(scenes)} scenes, not {len(frames)}")
    clips = [Clip(scene, thumbnails(film)) for scene, film in zip(scenes, frames, strict=True)]
    return evaluate(clips, sounds).scores
