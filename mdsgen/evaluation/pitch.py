"""Whether a thing keeps its pitch: the loudest partial after each of its blows, against that in the first window.

A bell rings alike all through a film. Windows that are imagined apart imagine another bell each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mdsgen.evaluation.labels import AUDIBLE
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes import Truth

PITCHED = frozenset({"bell", "hammer", "metronome"})
"""The kinds of which every blow has the same pitch, and plainly has one."""
DULL = frozenset({"drum", "bounce"})
"""The kinds whose blows are alike, but low, short or of many partials. Steps differ by nature, and are in neither."""
CONSTANT = 0.3
"""Semitones within which a pitch counts as the same."""

_AFTER, _LONGEST, _SHORTEST = 0.02, 0.256, 0.128  # seconds after a blow; of the sound that is looked at
_LOWEST = 150.0  # Hz: below are rooms and engines
_BINS = 1 << 16  # of the spectrum, padded: a quarter of a hertz each
_SILENT = 1e-3  # of the sound's peak: where nothing is heard there is no pitch


@dataclass(frozen=True)
class PitchSteps:
    """How far blows after the first window are from the pitch in it, in ``semitones``, none of them negative."""

    semitones: tuple[float, ...] = ()

    def __add__(self, other: PitchSteps) -> PitchSteps:
        return PitchSteps(self.semitones + other.semitones)

    @property
    def median(self) -> float | None:
        """Half of the blows are no farther away; None without blows. It says nothing of the other half."""
        return float(np.median(self.semitones)) if self.semitones else None

    @property
    def constant(self) -> float | None:
        """Share of the blows within :data:`CONSTANT`; None without blows."""
        return float(np.mean(np.array(self.semitones) <= CONSTANT)) if self.semitones else None


def pitch_steps(sound: np.ndarray, truth: Truth, first: float, kinds: Iterable[str] = PITCHED) -> PitchSteps:
    """Of all things of these kinds in a scene with ``sound [samples]`` whose first window lasts ``first`` seconds.

    Each thing is compared with the median of its own blows in the first window; without any there it does not count.
    Blows that another one follows within 0.148 s, weak ones and those after which nothing is heard are left out. The
    loudest partial may change between two that are about as loud: an octave then counts as twelve semitones, in real
    sound too, as does the ringing of a second thing. So compare with the real sound's own figure.
    """
    steps = PitchSteps()
    for source in truth.sources:
        if source.kind in kinds:
            blows = [event for event in source.events if event.strength >= AUDIBLE * _strongest(truth)]
            pitches = list(_pitches(sound, [event.time for event in blows], [event.time for event in truth.events]))
            early = [pitch for time, pitch in pitches if time < first - _AFTER - _LONGEST]
            late = [pitch for time, pitch in pitches if time >= first]
            if early:
                usual = float(np.quantile(early, 0.5, method="lower"))  # a pitch that was heard, not one between two
                steps += PitchSteps(tuple(abs(each - usual) for each in late))
    return steps


def pitch(sound: np.ndarray) -> float:
    """The loudest partial of ``sound [samples]`` from 150 Hz on, in semitones above 440 Hz.

    The beginning counts most, so that what dies away at once is heard before what is behind it.
    """
    falling = np.hanning(2 * len(sound))[len(sound) :]
    spectrum = np.abs(np.fft.rfft(sound * falling, _BINS))
    lowest = round(_LOWEST * _BINS / SAMPLE_RATE)
    loudest = lowest + int(spectrum[lowest:].argmax())
    return float(12 * np.log2(loudest * SAMPLE_RATE / _BINS / 440.0))


def _pitches(sound: np.ndarray, times: Iterable[float], everything: Iterable[float]) -> Iterator[tuple[float, float]]:
    """Of each blow its time and pitch, where it is heard for long enough before anything else sounds."""
    following = np.append(np.unique(list(everything)), np.inf)
    peak = float(np.abs(sound).max(initial=0.0))
    for time in times:
        start = time + _AFTER
        end = min(start + _LONGEST, float(following[np.searchsorted(following, time, side="right")]))
        heard = sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        if len(heard) >= _SHORTEST * SAMPLE_RATE and np.abs(heard).max() > _SILENT * peak:
            yield time, pitch(heard)


def _strongest(truth: Truth) -> float:
    return max((event.strength for event in truth.events), default=0.0)
