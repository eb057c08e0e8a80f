"""How far a measured time is from what the machine could do: share of the matrix peak, and on a GPU the floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from mdsgen.bench.device_peak import BANDWIDTH, measure_device_peaks
from mdsgen.bench.peak import Peak, measure_peaks
from mdsgen.bench.work import Work
from mdsgen.errors import MdsgenError


def machine_peaks(threads: int, data_types: Iterable[str]) -> tuple[dict[str, Peak], list[str]]:
    """The peaks of the processor on so many threads and of the GPU, and a sentence for each one that there is not."""
    wanted = set(data_types)
    peaks: dict[str, Peak] = {}
    notes: list[str] = []
    for measure in (partial(measure_peaks, threads, wanted), partial(measure_device_peaks, wanted)):
        try:
            peaks |= measure()
        except (MdsgenError, OSError, ValueError) as error:  # what was timed is reported all the same
            notes.append(str(error))
    if missing := ", ".join(sorted(wanted - peaks.keys())):
        notes.append(f"shares of the peak and floors are left out: nothing here measures what {missing} can do")
    return peaks, notes


def add_shares(
    figures: dict[str, float], work: Work, seconds: float, data_type: str, peaks: Mapping[str, Peak]
) -> None:
    """Add speed, share of the data type's peak and, on a GPU whose bandwidth is known, the floor to ``figures``."""
    reached = work.flop / seconds
    figures["GFLOP/s"] = reached / 1e9
    if data_type in peaks:
        figures["% of peak"] = 100 * reached / peaks[data_type].per_second
    if data_type in peaks and data_type.startswith("cuda ") and BANDWIDTH in peaks:
        figures["floor ms"] = 1000 * floor(work, peaks[data_type].per_second, peaks[BANDWIDTH].per_second)


def floor(work: Work, flop_per_second: float, bytes_per_second: float) -> float:
    """Seconds that no way to do this work is below: its operations at the peak, or its least bytes from memory.

    Weights count in every run. Where they fit into the chip's cache, a loop may come below the second one.
    """
    return max(work.flop / flop_per_second, work.least_bytes / bytes_per_second)
