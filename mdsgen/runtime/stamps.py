"""When the pictures of a live source appear, whatever its clock does."""

from __future__ import annotations

from fractions import Fraction

from mdsgen.errors import SettingsError
from mdsgen.values import is_finite

RESTART = 1
"""Seconds by which a clock goes back when it starts anew; a picture that is less late is left out."""
LEAP = 10
"""Seconds from one picture to the next that are believed."""


class Stamps:
    """Places one picture after the other on the time line of the sound, which begins with the first one.

    ``doubled`` counts the pictures that were left out since they came too late or twice, ``leaps`` how often the
    source's clock started anew or leapt, and the picture was taken to follow at the usual rate.
    """

    def __init__(self, frame_rate: float) -> None:
        self._interval = 1 / Fraction(frame_rate).limit_denominator(100_000)
        self._shift: Fraction | None = None
        self.last: Fraction | None = None
        self.doubled = self.leaps = 0

    @property
    def interval(self) -> Fraction:
        """Usual seconds from one picture to the next."""
        return self._interval

    def place(self, time: float | None) -> Fraction | None:
        """Seconds at which a picture with this time stamp (None: the usual interval after the last) appears.

        None where it is left out. Raises :class:`SettingsError` for a time that is no number.
        """
        following = Fraction(0) if self.last is None else self.last + self._interval
        if time is None:
            placed = following
        else:
            if not is_finite(time):
                raise SettingsError(f"the time of a picture must be a number of seconds, not {time!r:.80}")
            stamp = Fraction(float(time)).limit_denominator(1_000_000)
            if self._shift is None:
                self._shift = following - stamp
            placed = stamp + self._shift
            if self.last is not None and not self.last - RESTART < placed <= self.last + LEAP:
                self.leaps += 1
                self._shift = following - stamp
                placed = following
        if self.last is not None and placed <= self.last:
            self.doubled += 1
            return None
        self.last = placed
        return placed

    def stand(self, seconds: float) -> None:
        """Up to that time no picture came: one that was due earlier is late."""
        if self.last is not None:
            self.last = max(self.last, Fraction(seconds).limit_denominator(1_000_000))
