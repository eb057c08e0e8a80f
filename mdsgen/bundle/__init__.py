"""The bundle: the one thing that crosses from the PyTorch world to the device."""

from mdsgen.bundle.bundle import (
    Bundle,
    check_target,
    create_bundle,
    describe_file,
    describe_graph,
    write_manifest,
)
from mdsgen.bundle.default import default_bundle
from mdsgen.bundle.graph import MANIFEST_FILE, DataFile, Graph
from mdsgen.bundle.manifest import (
    CONDITIONING,
    DENOISER,
    GRAPHS,
    LATENT_DECODER,
    SCHEMA,
    VIDEO_ENCODER,
    VOCODER,
    Manifest,
)

__all__ = [
    "CONDITIONING",
    "DENOISER",
    "GRAPHS",
    "LATENT_DECODER",
    "MANIFEST_FILE",
    "SCHEMA",
    "VIDEO_ENCODER",
    "VOCODER",
    "Bundle",
    "DataFile",
    "Graph",
    "Manifest",
    "check_target",
    "create_bundle",
    "default_bundle",
    "describe_file",
    "describe_graph",
    "write_manifest",
]
