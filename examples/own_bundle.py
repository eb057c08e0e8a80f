"""A bundle of your own, and its sound: ``python examples/own_bundle.py my-bundle``; needs ``mdsgen[convert]``.

The demo model stands for your own here: ``mdsgen-export --trained`` or ``--checkpoint`` makes a bundle of your weights.
"""

import sys
from pathlib import Path

import numpy as np

from mdsgen import Pipeline
from mdsgen.bundle import Bundle, default_bundle
from mdsgen.export import ExportOptions, convert_bundle, verification_frames

source, target = Bundle.open(default_bundle()), Path(sys.argv[1])
frames = verification_frames(source.manifest.geometry)  # a rendered clip, on which every graph is compared
bundle = convert_bundle(source, target, ExportOptions("fp32"), frames=frames, report=print)
with Pipeline.open(bundle.folder, "onnxruntime") as pipeline:
    sound = pipeline(np.zeros((4, 224, 224, 3), np.uint8), seed=0, steps=2)
print(f"{sound.duration:.2f} s at {sound.sample_rate} Hz by {target}, which is in {bundle.manifest.precision}")
