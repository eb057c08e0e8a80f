"""Published and self-trained weights, from file to model. PyTorch side."""

from mdsgen.weights.audioldm import audioldm_weights, load_audioldm, locate_audioldm, save_audioldm
from mdsgen.weights.cavp import load_cavp
from mdsgen.weights.release import load_release

__all__ = ["audioldm_weights", "load_audioldm", "load_cavp", "load_release", "locate_audioldm", "save_audioldm"]
