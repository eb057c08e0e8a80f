"""The lean runtime: from video to sound through a bundle's engines. NumPy and the engine; never PyTorch."""

from mdsgen.runtime.sampler import Network, sample, seeded_noise

__all__ = ["Network", "sample", "seeded_noise"]
