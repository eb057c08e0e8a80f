"""Short films with sound, drawn from a seed, of which everything is known: what sounds, of what material, and when.

What is seen decides what is heard. NumPy alone makes pictures and sound; PyAV writes them as files.
"""

from mdsgen.scenes.catalogue import CONTINUOUS, IMPACTS, KINDS, sample_scene
from mdsgen.scenes.scene import DURATION, Scene
from mdsgen.scenes.truth import INTENSITY_RATE, Event, Source, Truth
from mdsgen.scenes.video import write_video

__all__ = [
    "CONTINUOUS",
    "DURATION",
    "IMPACTS",
    "INTENSITY_RATE",
    "KINDS",
    "Event",
    "Scene",
    "Source",
    "Truth",
    "sample_scene",
    "write_video",
]
