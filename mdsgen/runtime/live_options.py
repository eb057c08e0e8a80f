"""How a live source is heard: how fast pictures come, in which blocks sound goes out, and how much is looked ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mdsgen.errors import SettingsError
from mdsgen.geometry import SAMPLE_RATE, Geometry
from mdsgen.runtime.windows import WindowPlan
from mdsgen.values import check_frame_rate, check_seed, is_finite


@dataclass(frozen=True)
class LiveOptions:
    """``frame_rate`` is how many pictures come in a second where they have no time stamps, and about how many where
    they have. ``block`` and ``lookahead`` are in seconds and rounded up to whole columns. Raises
    :class:`SettingsError` for impossible values.
    """

    frame_rate: float = 30.0
    block: float = 0.512
    lookahead: float = 0.256
    seed: int = 0

    def __post_init__(self) -> None:
        check_frame_rate(self.frame_rate)
        if not is_finite(self.block) or not self.block > 0:
            raise SettingsError(f"block must be a positive number of seconds, not {self.block!r:.80}")
        if not is_finite(self.lookahead) or not self.lookahead >= 0:
            raise SettingsError(f"lookahead must be 0 seconds or more, not {self.lookahead!r:.80}")
        check_seed(self.seed)

    def rounded(self, geometry: Geometry) -> LiveOptions:
        """With block and lookahead in whole columns, unless a block is as long as a window."""
        if _columns(self.block, geometry) >= geometry.time_columns:
            return self
        block, lookahead = (
            _columns(seconds, geometry) * geometry.column_samples / SAMPLE_RATE
            for seconds in (self.block, self.lookahead)
        )
        return replace(self, block=block, lookahead=lookahead)

    def plan(self, geometry: Geometry) -> WindowPlan:
        """The windows: those of a film where a block is as long as a window.

        Raises :class:`SettingsError` where block and lookahead do not fit into a window.
        """
        film = WindowPlan.of_film(geometry)
        block, lookahead = (_columns(seconds, geometry) for seconds in (self.block, self.lookahead))
        if block >= geometry.time_columns:
            return film
        room = geometry.time_columns - block - lookahead
        if room < 0:
            raise SettingsError(
                f"a block of {self.block:g} s with {self.lookahead:g} s of lookahead is longer than the model's "
                f"window of {geometry.duration:g} s"
            )
        return WindowPlan(geometry, min(film.context, room), block, lookahead)


def _columns(seconds: float, geometry: Geometry) -> int:
    return math.ceil(round(seconds * SAMPLE_RATE / geometry.column_samples, 6))
