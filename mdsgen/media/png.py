"""Pictures as PNG files, by PyAV's own encoder."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from mdsgen.errors import MediaError


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 ``[H, W]`` grey values or ``[H, W, 3]`` RGB. Raises :class:`MediaError` for other arrays."""
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise MediaError(f"expected uint8 [H, W] or [H, W, 3] pixels, got {pixels.dtype} {list(pixels.shape)}")
    layout = "gray" if pixels.ndim == 2 else "rgb24"
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *pixels.shape[:2], layout
    encoder.time_base = Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=layout)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
