"""How the pictures of a stream lie in GStreamer's buffers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mdsgen.errors import MediaError

USUAL_RATE = Fraction(30)


@dataclass(frozen=True)
class RawVideo:
    """Pictures in RGB whose rows begin at multiples of four bytes. Those without an even rate are taken for usual."""

    width: int
    height: int
    frame_rate: Fraction = USUAL_RATE

    @classmethod
    def of_caps(cls, caps: Any) -> RawVideo:
        """As fixed caps of a pad say."""
        structure = caps.get_structure(0)
        rates, numerator, denominator = structure.get_fraction("framerate")
        rate = Fraction(numerator, denominator) if rates and numerator > 0 else USUAL_RATE
        return cls(structure.get_int("width")[1], structure.get_int("height")[1], rate)

    def picture(self, data: bytes) -> np.ndarray:
        """A buffer as uint8 ``[H, W, 3]``, without a copy. Raises :class:`MediaError` where bytes are missing."""
        flat, row = np.frombuffer(data, np.uint8), 3 * self.width
        stride = -(-row // 4) * 4
        if flat.size < stride * (self.height - 1) + row:
            raise MediaError(f"a picture of {self.width}×{self.height} in {flat.size} bytes is not whole")
        strides = (stride, 3, 1)
        return np.lib.stride_tricks.as_strided(flat, (self.height, self.width, 3), strides, writeable=False)
