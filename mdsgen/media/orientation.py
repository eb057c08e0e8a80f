"""How a picture must be turned to stand upright: the display matrix that phones write instead of turning pixels.

The matrix maps a stored pixel (x, y) to (a·x + c·y, b·x + d·y) on the screen, y pointing down (ISO/IEC 14496-12,
6.2.2). Only quarter turns and mirrors are honoured.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from av import VideoFrame

Matrix = tuple[int, int, int, int]
"""a, b, c, d, in 1/65536."""
UPRIGHT: Matrix = (1 << 16, 0, 0, 1 << 16)


def display_matrix(frame: VideoFrame) -> Matrix:
    """The frame's display matrix; :data:`UPRIGHT` where it carries none."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = np.frombuffer(data, dtype=np.int32).tolist()
    return (a, b, c, d) if a * d != b * c else UPRIGHT


def rotation(matrix: Matrix) -> int:
    """Clockwise degrees by which the stored picture is turned on the screen: 0, 90, 180 or 270."""
    a, b, _, _ = matrix
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360


def upright(picture: np.ndarray, matrix: Matrix) -> np.ndarray:
    """``picture`` ``[height, width, ...]`` as it is seen on the screen."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        picture = picture.swapaxes(0, 1)  # [width, height, ...]
        a, d = c, b
    if a < 0:
        picture = picture[:, ::-1]
    if d < 0:
        picture = picture[::-1]
    return picture
