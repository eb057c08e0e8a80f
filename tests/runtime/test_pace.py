"""How much is done depends on how late it is; a source that has gone quiet is still in time."""

from __future__ import annotations

import pytest

from mdsgen.runtime.pace import Effort, SourceClock, effort


@pytest.mark.parametrize(
    ("behind", "expected"),
    [(-1.0, Effort.FULL), (0.29, Effort.FULL), (0.31, Effort.FEWER), (1.04, Effort.FEWER), (1.06, Effort.SILENT)],
)
def test_the_later_the_less(behind: float, expected: Effort) -> None:
    assert effort(behind, block=0.5, interval=0.05) is expected


def test_the_least_delayed_picture_tells_the_time() -> None:
    now = [100.0]
    clock = SourceClock(lambda: now[0])
    assert clock.now is None
    for seconds, delay in ((0.0, 0.3), (0.1, 0.0), (0.2, 0.2)):
        now[0] = 100 + seconds + delay
        clock.arrived(seconds)
    now[0] = 103.0
    assert clock.now == pytest.approx(3.0, abs=0.01)


def test_a_slower_clock_is_followed() -> None:
    """A source that loses three thousandths is not taken to be late after an hour."""
    now = [0.0]
    clock = SourceClock(lambda: now[0])
    for second in range(3600):
        now[0] = float(second)
        clock.arrived(second * 0.997)
    assert clock.now == pytest.approx(3599 * 0.997, abs=0.1)
