"""The lean runtime: from video to sound through a bundle's engines. NumPy and the engine; never PyTorch."""

from typing import TYPE_CHECKING

from mdsgen.lazy import lazily

if TYPE_CHECKING:
    from mdsgen.runtime.live import Live, Statistics
    from mdsgen.runtime.live_options import LiveOptions
    from mdsgen.runtime.networks import Networks
    from mdsgen.runtime.pipeline import Pipeline, Progress, Sound
    from mdsgen.runtime.rendering import Rendered, default_target, render
    from mdsgen.runtime.sampler import Network, sample, seeded_noise
    from mdsgen.runtime.window_generator import Timings, WindowGenerator

__all__ = [
    "Live",
    "LiveOptions",
    "Network",
    "Networks",
    "Pipeline",
    "Progress",
    "Rendered",
    "Sound",
    "Statistics",
    "Timings",
    "WindowGenerator",
    "default_target",
    "render",
    "sample",
    "seeded_noise",
]

__getattr__ = lazily(
    __name__,
    {
        "live": ("Live", "Statistics"),
        "live_options": ("LiveOptions",),
        "networks": ("Networks",),
        "pipeline": ("Pipeline", "Progress", "Sound"),
        "rendering": ("Rendered", "default_target", "render"),
        "sampler": ("Network", "sample", "seeded_noise"),
        "window_generator": ("Timings", "WindowGenerator"),
    },
)
