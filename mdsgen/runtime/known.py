"""What a window already knows of its latent: the columns that it begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsgen.geometry import Geometry


@dataclass(frozen=True)
class Known:
    """The first ``columns`` token columns of ``latent [1, C, H, W]``; what stands behind them means nothing."""

    latent: np.ndarray
    columns: int
    geometry: Geometry

    @property
    def part(self) -> tuple[slice, ...]:
        """Where the known columns lie in a latent."""
        return columns_of(self.geometry, 0, self.columns)


def columns_of(geometry: Geometry, first: int, until: int) -> tuple[slice, ...]:
    """Where the token columns from ``first`` to before ``until`` lie in a latent ``[1, C, H, W]``."""
    time = slice(first * geometry.patch, until * geometry.patch)
    return (slice(None), slice(None), time) if geometry.time_axis == 0 else (..., time)  # type: ignore[return-value]


def moved(latent: np.ndarray, geometry: Geometry, first: int, columns: int) -> Known:
    """Of a window's latent, the ``columns`` from ``first`` on, as the beginning of the next one's."""
    following = np.zeros_like(latent)
    following[columns_of(geometry, 0, columns)] = latent[columns_of(geometry, first, first + columns)]
    return Known(following, columns, geometry)
