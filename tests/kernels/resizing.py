"""Video frames for the video encoder: the NumPy reference of the kernels that resize on the device.

Pillow's and FFmpeg's bilinear filter: each output pixel is a mean under a triangle, which reaches one output pixel to
either side when shrinking (so that nothing aliases) and one input pixel when enlarging. Nothing is rounded on the way.
"""

from __future__ import annotations

import numpy as np


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
    down = triangle_filter(frames.shape[1], size)  # [size, H]
    across = triangle_filter(frames.shape[2], size)  # [size, W]
    resized: np.ndarray = down @ frames.transpose(0, 3, 1, 2).astype(np.float64) @ across.T / 255
    return resized
