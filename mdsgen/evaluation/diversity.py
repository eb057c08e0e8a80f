"""How much a seed changes the sound of a film, against how much another film of the same kind does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def diversity(sounds: Sequence[np.ndarray], real: np.ndarray, kinds: Sequence[str]) -> float | None:
    """Of the judge's vectors: ``sounds`` of each film under several seeds ``[seeds, E]``, ``real [films, E]``.

    The mean distance between two seeds of a film over the mean distance between the real sounds of two films of its
    kind: 0 where a seed changes nothing, 1 where it changes as much as another scene would. The first is called
    multimodality, the second diversity in Guo et al., "Action2Motion" (2020). Films that are alone of their kind, or
    have one seed, do not count; None where none is left.

    It is how *different* sounds are, not how good: noise is diverse. The judge's vectors are made to tell kinds and
    materials, so what it does not listen for is no difference.
    """
    shares = []
    for vectors, kind in zip(sounds, kinds, strict=True):
        spread = _spread(real[[other == kind for other in kinds]])
        seeds = _spread(vectors)
        if seeds is not None and spread:
            shares.append(seeds / spread)
    return float(np.mean(shares)) if shares else None


def _spread(vectors: np.ndarray) -> float | None:
    """The mean distance of any two of ``vectors [N, E]``; None of fewer than two."""
    first, second = np.triu_indices(len(vectors), 1)
    if not len(first):
        return None
    return float(np.linalg.norm(vectors[first] - vectors[second], axis=1).mean())
