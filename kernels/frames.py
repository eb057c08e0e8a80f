"""Video frames for the video encoder: the NumPy reference of the kernels that resize on the device.

Pillow's and FFmpeg's bilinear filter: each output pixel is a mean under a triangle, which reaches one output pixel to
either side when shrinking (so that nothing aliases) and one input pixel when enlarging. Nothing is rounded on the way.
"""

from __future__ import annotations

import numpy as np

_RED_AND_BLUE = {601: (0.299, 0.114), 709: (0.2126, 0.0722), 2020: (0.2627, 0.0593)}
"""What red and blue weigh in luma, by the number of the ITU-R recommendation."""


def triangle_filter(in_size: int, out_size: int) -> np.ndarray:
    """What each output pixel takes of each input pixel, float64 ``[out_size, in_size]``; rows sum to 1."""
    scale = in_size / out_size
    reach = max(scale, 1.0)
    centres = (np.arange(out_size) + 0.5) * scale  # in input pixels
    distances = np.arange(in_size) + 0.5 - centres[:, None]  # [out, in]
    weights = np.maximum(0.0, 1.0 - np.abs(distances) / reach)
    normalised: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def prepare_rgb(frames: np.ndarray, size: int) -> np.ndarray:
    """``frames [F, H, W, 3]`` uint8 -> float64 ``[F, 3, size, size]`` in 0..1."""
    return _resized(frames, size) / 255


def prepare_nv12(
    luma: np.ndarray, chroma: np.ndarray, size: int, standard: int = 709, full_range: bool = False
) -> np.ndarray:
    """``luma [F, H, W]`` and ``chroma [F, ⌈H/2⌉, ⌈W/2⌉, 2]`` uint8 -> RGB, float64 ``[F, 3, size, size]`` in 0..1.

    Each plane is resized as it is, chroma as if its samples sat between the pixels that share them.
    """
    y = _resized(luma[..., None], size)[:, 0]  # [F, size, size]
    blue_difference, red_difference = np.moveaxis(_resized(chroma, size), 1, 0)  # [F, size, size] each
    red, blue = _RED_AND_BLUE[standard]
    light = y / 255 if full_range else (y - 16) / 219
    chroma_range = 255 if full_range else 224
    to_red = 2 * (1 - red) * (red_difference - 128) / chroma_range
    to_blue = 2 * (1 - blue) * (blue_difference - 128) / chroma_range
    to_green = -(red * to_red + blue * to_blue) / (1 - red - blue)
    rgb: np.ndarray = np.clip(np.stack([light + to_red, light + to_green, light + to_blue], axis=1), 0, 1)
    return rgb


def _resized(planes: np.ndarray, size: int) -> np.ndarray:
    """``[F, H, W, C]`` -> float64 ``[F, C, size, size]``."""
    down = triangle_filter(planes.shape[1], size)  # [size, H]
    across = triangle_filter(planes.shape[2], size)  # [size, W]
    resized: np.ndarray = down @ planes.transpose(0, 3, 1, 2).astype(np.float64) @ across.T
    return resized
