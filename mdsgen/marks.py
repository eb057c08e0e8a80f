"""The mark of a time column that is known already: a fixed vector, in training and in every bundle the same.

A denoiser that was trained to go on is given the first columns of its latent clean. It tells them from noisy ones by
this vector, which is added to what their tokens are told of their video frame. Nothing of it is learned.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MARK_STRENGTH = 0.5
"""How far every number of the mark is from 0: somewhat less than those of a token's position."""

_SEED = 20_251


@lru_cache(maxsize=8)
def known_mark(width: int) -> np.ndarray:
    """``[D]`` float32 for a denoiser of that width: ``MARK_STRENGTH`` with random signs, and not to be written to."""
    signs = np.random.RandomState(_SEED).randint(0, 2, width)  # NumPy keeps this generator as it is
    mark = np.where(signs == 1, np.float32(MARK_STRENGTH), np.float32(-MARK_STRENGTH)).astype(np.float32)
    mark.flags.writeable = False
    return mark
