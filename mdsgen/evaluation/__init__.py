"""Does the sound belong to the picture? Figures of generated sound on scenes of which everything is known.

A judge that was trained on real scenes says whether a sound is aligned with the pictures, and what is heard in it; an
onset detector says when. The same figures of real, shuffled and shifted sound say what they are worth. Needs no
PyTorch.
"""

from mdsgen.evaluation.ear import Ear, Verdict, thumbnails
from mdsgen.evaluation.examination import Examination, examine, judge
from mdsgen.evaluation.frechet import frechet_distance
from mdsgen.evaluation.held_out import HELD_OUT, Clip, held_out
from mdsgen.evaluation.matching import Matches, match
from mdsgen.evaluation.onsets import onsets
from mdsgen.evaluation.scores import Score, Scores

__all__ = [
    "HELD_OUT",
    "Clip",
    "Ear",
    "Examination",
    "Matches",
    "Score",
    "Scores",
    "Verdict",
    "examine",
    "frechet_distance",
    "held_out",
    "judge",
    "match",
    "onsets",
    "thumbnails",
]
