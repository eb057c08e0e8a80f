"""How far a measured time is from what the machine could do: share of the matrix peak, and on a GPU the floor."""

from __future__ import annotations

from collections.abc import Mapping

from mdsgen.bench.device_peak import BANDWIDTH
from mdsgen.bench.peak import Peak
from mdsgen.bench.work import Work


def add_shares(
    figures: dict[str, float], work: Work, seconds: float, data_type: str, peaks: Mapping[str, Peak]
) -> None:
    """Add speed, share of the data type's peak and, where its bandwidth is known, the floor to ``figures``."""
    reached = work.flop / seconds
    figures["GFLOP/s"] = reached / 1e9
    if data_type in peaks:
        figures["% of peak"] = 100 * reached / peaks[data_type].per_second
    if data_type in peaks and BANDWIDTH in peaks:
        figures["floor ms"] = 1000 * floor(work, peaks[data_type].per_second, peaks[BANDWIDTH].per_second)


def floor(work: Work, flop_per_second: float, bytes_per_second: float) -> float:
    """Seconds that no way to do this work is below: its operations at the peak, or its least bytes from memory.

    Weights count in every run. Where they fit into the chip's cache, a loop may come below the second one.
    """
    return max(work.flop / flop_per_second, work.least_bytes / bytes_per_second)
