"""The part of a bundle that a denoiser is told by, without the denoiser: from frames to modulations."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from mdsgen.bundle import CONDITIONING, VIDEO_ENCODER, Bundle
from mdsgen.engines import DEFAULT_OPTIONS, open_engine
from mdsgen.runtime.networks import graph_options


class ConditioningNetworks:
    """A bundle's video encoder and conditioning on ONNX Runtime, as :class:`~mdsgen.runtime.Networks` open them.

    A context manager. The three networks that are not needed here would be most of a bundle's memory.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.geometry, self.schedule = bundle.manifest.geometry, bundle.manifest.schedule
        with ExitStack() as opened:  # closes the first one should the other one fail
            self._encoder, self._conditioning = (
                opened.enter_context(
                    open_engine(bundle.path(name), "onnxruntime", graph_options(name, DEFAULT_OPTIONS, self.geometry))
                )
                for name in (VIDEO_ENCODER, CONDITIONING)
            )
            self._opened = opened.pop_all()

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [F, 3, size, size]`` in 0..1 -> features ``[1, F, 512]``."""
        (features,) = self._encoder.run({"frames": frames[None]}).values()
        return features

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """``features [1, F, 512]``, ``timesteps [steps]`` -> modulations ``[steps, 2, V, D]`` of both branches."""
        (modulations,) = self._conditioning.run({"features": features, "timesteps": timesteps}).values()
        return modulations

    def __enter__(self) -> ConditioningNetworks:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
