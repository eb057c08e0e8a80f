"""What a graph takes and gives: a name, a dtype and a shape, and the check of an array against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mdsgen.errors import TensorError

Dimension = int | str
"""A length, or the name of one that is chosen at run time (``"steps"``)."""


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output. ``dtype`` is NumPy's name for it (``"float32"``)."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join(map(str, self.shape))}]"

    def admits(self, dtype: str | np.dtype, shape: Sequence[Dimension]) -> bool:
        """Whether this dtype and shape are the declared ones; a length that only has a name here may be any."""
        return (
            np.dtype(dtype) == np.dtype(self.dtype)
            and len(shape) == len(self.shape)
            and all(isinstance(want, str) or want == have for want, have in zip(self.shape, shape, strict=True))
        )

    def check(self, array: np.ndarray) -> None:
        """Raise :class:`TensorError` unless ``array`` has this dtype and shape."""
        if not self.admits(array.dtype, array.shape):
            raise TensorError(f"expected {self}, got {array.dtype} {list(array.shape)}")


def check_feeds(specs: Iterable[TensorSpec], feeds: Mapping[str, np.ndarray]) -> None:
    """Raise :class:`TensorError` unless ``feeds`` holds exactly the arrays that ``specs`` declare."""
    declared = {spec.name: spec for spec in specs}
    missing = sorted(declared.keys() - feeds.keys())
    unknown = sorted(feeds.keys() - declared.keys())
    if missing or unknown:
        raise TensorError(
            f"expected inputs {sorted(declared)}, got {sorted(feeds)}: missing {missing}, unknown {unknown}"
        )
    for name, spec in declared.items():
        spec.check(feeds[name])
