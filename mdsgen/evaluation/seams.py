"""Whether one hears where a sound was joined: spectral flux at the joins, against that elsewhere in the same sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsgen.evaluation.onsets import FLUX_RATE, band_levels

USUAL = 0.95
"""The share of a sound's instants that are called usual: so many joins are to be, where nothing is heard of them."""

_LAG = 3  # frames of 10 ms, over which a change is taken: windows that do not overlap
_BEFORE, _AFTER = 2, 12  # frames around a join: the fade of 64 ms, and as far as windows reach on both sides
_LATE = 15  # frames after a blow in which it comes up, early or late
_FEWEST = 100  # instants elsewhere, of which a quantile says something


@dataclass(frozen=True)
class Seams:
    """How many ``joins`` were looked at, and how many of them change the sound no more than is ``usual`` in it."""

    joins: int = 0
    usual: int = 0

    def __add__(self, other: Seams) -> Seams:
        return Seams(self.joins + other.joins, self.usual + other.usual)

    @property
    def share(self) -> float | None:
        """Of the joins that are usual: :data:`USUAL` where there is nothing to hear, None without joins."""
        return self.usual / self.joins if self.joins else None


def seams(sound: np.ndarray, joins: np.ndarray, blows: np.ndarray) -> Seams:
    """Joins at these seconds of ``sound [samples]`` against all other instants of the same sound.

    A join's change is the largest flux from 20 ms before to 120 ms after it; at every instant farther from any join the
    same is taken, and what 95 % of them do not exceed is usual. ``blows`` are the seconds of true onsets: what is near
    one, join or not, is left out, because a blow changes more than any seam. Nothing is counted of a sound where too
    little is left to compare with.
    """
    peaks = _peaks(sound)
    starts = _frames(joins)
    quiet = ~_near(blows, len(peaks), before=_BEFORE + _AFTER, after=_LATE + _BEFORE)
    elsewhere = peaks[quiet & ~_near(joins, len(peaks), _BEFORE + _AFTER, _BEFORE + _AFTER)]
    starts = starts[(starts >= 0) & (starts < len(peaks))]
    changes = peaks[starts[quiet[starts]]]
    if len(elsewhere) < _FEWEST:
        return Seams()
    return Seams(len(changes), int(np.count_nonzero(changes <= np.quantile(elsewhere, USUAL))))


def random_joins(joins: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    """As many instants of a sound as there are ``joins``, anywhere in it: what chance makes of :func:`seams`."""
    return np.sort(np.random.default_rng([seed]).uniform(0, seconds, len(joins)))


def flux(sound: np.ndarray) -> np.ndarray:
    """How much the bands change over 30 ms, louder or quieter: float ``[samples // 160]``, 100 per second."""
    bands = band_levels(sound)  # [frames, bins]
    before = np.concatenate([np.repeat(bands[:1], _LAG, axis=0), bands[:-_LAG]])
    return np.asarray(np.abs(bands - before).mean(axis=1))


def _peaks(sound: np.ndarray) -> np.ndarray:
    """The largest flux around every instant at which a join could be, ``[frames]``."""
    changes = flux(sound)
    width = _BEFORE + _AFTER + 1
    if len(changes) < width:
        return np.zeros(0)
    peaks = np.lib.stride_tricks.sliding_window_view(changes, width).max(axis=1)  # the first one is of frame _BEFORE
    return np.concatenate([np.full(_BEFORE, peaks[0]), peaks])


def _near(times: np.ndarray, frames: int, before: int, after: int) -> np.ndarray:
    """Which instants are at most so many frames ``before`` or ``after`` one of ``times``: bool ``[frames]``."""
    near = np.zeros(frames, bool)
    for frame in _frames(times):
        near[max(0, frame - before) : max(0, frame + after + 1)] = True
    return near


def _frames(times: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(times, float) * FLUX_RATE).astype(int)
