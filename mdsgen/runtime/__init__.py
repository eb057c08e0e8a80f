"""The lean runtime: from video to sound through a bundle's engines. NumPy and the engine; never PyTorch."""

from mdsgen.runtime.clip import ClipGenerator, SamplerSettings, Timings
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.pipeline import Pipeline, Progress, Sound
from mdsgen.runtime.quality import PRESETS, QUALITIES, Sampling, sampler_settings
from mdsgen.runtime.render import Rendered, default_target, render
from mdsgen.runtime.sampler import Network, sample, seeded_noise
from mdsgen.runtime.solver import SOLVERS

__all__ = [
    "PRESETS",
    "QUALITIES",
    "SOLVERS",
    "ClipGenerator",
    "Network",
    "Networks",
    "Pipeline",
    "Progress",
    "Rendered",
    "SamplerSettings",
    "Sampling",
    "Sound",
    "Timings",
    "default_target",
    "render",
    "sample",
    "sampler_settings",
    "seeded_noise",
]
