"""What the page shows of each scene: pictures, what happens, and sounds with what is heard in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mdsgen.evaluation.cells import f1, number
from mdsgen.evaluation.evaluation import Evaluation
from mdsgen.evaluation.film import Film, FilmSounds
from mdsgen.evaluation.film_evaluation import FilmEvaluation
from mdsgen.evaluation.film_scores import Hearing
from mdsgen.evaluation.held_out import Clip
from mdsgen.evaluation.judge import Prediction, fitted
from mdsgen.evaluation.matching import STRICT_TOLERANCE
from mdsgen.geometry import DEMO
from mdsgen.scenes import Scene

_PICTURES = 8
"""Of a film strip: so few that one can see what happens in each."""


@dataclass(frozen=True)
class Side:
    """One sound ``[samples]`` of a scene: ``words`` (HTML) on how it was judged, ``heard`` and ``joins`` in seconds."""

    name: str
    words: str
    sound: np.ndarray
    heard: np.ndarray
    joins: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Item:
    """A scene of ``duration`` seconds with pictures for a ``strip`` and the seconds of what happens in it."""

    scene: Scene
    duration: float
    strip: np.ndarray
    onsets: np.ndarray
    sides: tuple[Side, ...]


def clip_items(evaluation: Evaluation, sounds: Sequence[np.ndarray]) -> Iterator[Item]:
    """Clips with their generated and real sounds: the first of every kind, then the second of every kind, and so on."""
    clips = list(zip(evaluation.clips, sounds, evaluation.generated, evaluation.real, strict=True))
    for index in _varied([clip.scene.kind for clip in evaluation.clips]):
        clip, sound, generated, real = clips[index]
        yield Item(
            clip.scene,
            DEMO.duration,
            clip.pictures[:: len(clip.pictures) // _PICTURES],
            clip.onsets,
            (
                Side("generated", _judged(clip, generated), fitted(sound), generated.onsets),
                Side("real", _judged(clip, real), clip.sound, real.onsets),
            ),
        )


def film_items(evaluation: FilmEvaluation, sounds: Sequence[FilmSounds]) -> Iterator[Item]:
    """Films as wholes, with their windows alone, and with real sound; in the order of :func:`clip_items`."""
    films = list(zip(evaluation.films, sounds, evaluation.heard, strict=True))
    for index in _varied([film.scene.kind for film in evaluation.films]):
        film, made, heard = films[index]
        three = {
            "film": ("as one film", made.whole, made.joins),
            "alone": ("windows alone", made.alone, np.array(film.starts[1:])),
            "real": ("real", film.sound, np.zeros(0)),
        }
        yield Item(
            film.scene,
            film.scene.duration,
            film.strip(2 * _PICTURES),
            film.onsets,
            tuple(
                Side(name, _measured(film, heard[column]), sound, heard[column].found, joins)
                for column, (name, sound, joins) in three.items()
            ),
        )


def _varied(kinds: Sequence[str]) -> list[int]:
    return sorted(range(len(kinds)), key=lambda index: (kinds[:index].count(kinds[index]), index))


def _judged(clip: Clip, prediction: Prediction) -> str:
    aligned = "aligned" if prediction.aligned else "<span class=no>not aligned</span>"
    onsets = f"{len(prediction.onsets)} onsets" + (f" of {len(clip.onsets)}" if len(clip.onsets) else "")
    return f"{aligned} ({prediction.alignment:+.1f}), heard as {prediction.kind}, {onsets}"


def _measured(film: Film, heard: Hearing) -> str:
    right = sum(window.aligned for window in heard.windows)
    off, matches = (heard.pitch + heard.dull_pitch).median, heard.matches(film, STRICT_TOLERANCE)
    pitch = "" if off is None else f", pitch {number(off)} semitones off"
    onset_f1 = "" if matches is None else f", onset F1 {f1(matches)} at ±50 ms"
    return f"{right} of {len(heard.windows)} windows aligned{onset_f1}{pitch}"
