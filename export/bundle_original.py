"""A bundle's own networks as what others are compared with. Imports neither PyTorch nor ONNX."""

from __future__ import annotations

import numpy as np

from mdsgen.export.verify import Estimate, noise_of
from mdsgen.runtime.networks import Networks


class BundleOriginal:
    """The networks of an opened bundle, as what others are compared with."""

    def __init__(self, networks: Networks, name: str) -> None:
        self.name, self.geometry, self.schedule = name, networks.geometry, networks.schedule
        self.encode, self.condition = networks.encode, networks.condition
        self.decode, self.vocode = networks.decode, networks.vocode
        self._networks = networks

    def denoiser(self, features: np.ndarray, timesteps: np.ndarray) -> Estimate:
        modulations = self.condition(features, timesteps)  # [steps, branches, V, D]
        return lambda latent, step: noise_of(self._networks, latent, modulations[step]).copy()
