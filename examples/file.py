"""Give a video file its sound: ``python examples/file.py video.mp4 result.mp4``."""

import sys

from mdsgen import Pipeline
from mdsgen.runtime import render

source, target = sys.argv[1:]
with Pipeline.open() as pipeline:
    result = render(pipeline, source, target, pipeline.bundle.sampling.changed(quality="fast"), seed=0)
print(f"{result.target}: {result.seconds:.2f} s of sound in {result.total:.2f} s")
