"""The sound of pictures that no file holds, as they come from a camera or a renderer: ``python examples/frames.py``."""

import numpy as np

from mdsgen import Pipeline
from mdsgen.runtime import Progress


def watch(progress: Progress) -> bool:
    """Called after every step; returning False would cancel the run."""
    print(f"{progress.fraction:.0%}")
    return True


# Two seconds, four pictures per second: a white square that falls.
frames = np.zeros((8, 224, 224, 3), np.uint8)
for number, frame in enumerate(frames):
    frame[25 * number : 25 * number + 40, 92:132] = 255

with Pipeline.open() as pipeline:
    sampling = pipeline.bundle.sampling.changed(steps=2)
    for block in pipeline.stream(frames, sampling, seed=0, frame_rate=4, progress=watch):
        print(f"{len(block)} samples, the loudest {np.abs(block).max():.3f}")  # float32 in -1..1, mono, 16 kHz
