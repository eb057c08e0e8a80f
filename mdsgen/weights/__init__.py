"""Published and self-trained weights, from file to model. PyTorch side."""

from mdsgen.weights.audioldm import load_audioldm, save_audioldm
from mdsgen.weights.cavp import load_cavp
from mdsgen.weights.release import load_release

__all__ = ["load_audioldm", "load_cavp", "load_release", "save_audioldm"]
