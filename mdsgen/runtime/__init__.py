"""The lean runtime: from video to sound through a bundle's engines. NumPy and the engine; never PyTorch."""

from mdsgen.runtime.clip import ClipGenerator, Timings
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.pipeline import Pipeline, Progress, Sound
from mdsgen.runtime.render import Rendered, default_target, render
from mdsgen.runtime.sampler import Network, sample, seeded_noise

__all__ = [
    "ClipGenerator",
    "Network",
    "Networks",
    "Pipeline",
    "Progress",
    "Rendered",
    "Sound",
    "Timings",
    "default_target",
    "render",
    "sample",
    "seeded_noise",
]
