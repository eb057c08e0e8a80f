"""Give a video file its sound: ``python examples/file.py video.mp4 result.mp4``."""

import argparse

from mdsgen import Pipeline
from mdsgen.errors import MdsgenError
from mdsgen.runtime import render

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source")
parser.add_argument("target")
asked = parser.parse_args()
try:
    with Pipeline.open() as pipeline:
        sampling = pipeline.bundle.sampling.changed(quality="fast")
        result = render(pipeline, asked.source, asked.target, sampling, seed=0)
except MdsgenError as error:  # whatever goes wrong on purpose, in one line
    parser.exit(1, f"error: {error}\n")
print(f"{result.target}: {result.seconds:.2f} s of sound in {result.total:.2f} s")
