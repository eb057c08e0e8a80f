"""A bundle of your own, and its sound: ``python examples/own_bundle.py my-bundle``; needs ``mdsgen[convert]``.

The demo model stands for your own here: ``mdsgen-export --trained`` or ``--checkpoint`` makes a bundle of your weights.
"""

import argparse
from pathlib import Path

import numpy as np

from mdsgen import Pipeline
from mdsgen.bundle import Bundle, default_bundle
from mdsgen.errors import MdsgenError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("target", type=Path, help="the folder to make")
target = parser.parse_args().target
try:
    from mdsgen.export import ExportOptions, convert_bundle, verification_frames
except ImportError as error:
    parser.exit(1, f"error: {error}: pip install 'mdsgen[convert]'\n")
try:
    source = Bundle.open(default_bundle())
    frames = verification_frames(source.manifest.geometry)  # a rendered clip, on which every graph is compared
    bundle = convert_bundle(source, target, ExportOptions("fp32"), frames=frames, report=print)
    with Pipeline.open(bundle.folder, "onnxruntime") as pipeline:
        sound = pipeline(np.zeros((4, 224, 224, 3), np.uint8), seed=0, steps=2)
except MdsgenError as error:
    parser.exit(1, f"error: {error}\n")
print(f"{sound.duration:.2f} s at {sound.sample_rate} Hz by {target}, which is in {bundle.manifest.precision}")
