"""A bundle's own networks as what others are compared with. Imports neither PyTorch nor ONNX."""

from __future__ import annotations

import numpy as np

from mdsgen.export.verify import Estimate
from mdsgen.runtime.networks import Networks


class BundleOriginal:
    """The networks of an opened bundle, as what others are compared with."""

    def __init__(self, networks: Networks, name: str) -> None:
        self.name, self.geometry, self.schedule = name, networks.geometry, networks.schedule
        self.encode, self.condition = networks.encode, networks.condition
        self.decode, self.vocode = networks.decode, networks.vocode
        self._denoise = networks.denoise

    def denoiser(self, features: np.ndarray, timesteps: np.ndarray) -> Estimate:
        modulations = self.condition(features, timesteps)  # [steps, 2, V, D]
        return lambda latent, step: np.concatenate(self._denoise(latent, modulations[step]))
