"""Does the sound belong to the picture? Figures of generated sound on scenes of which everything is known.

A judge that was trained on real scenes says whether a sound is aligned with the pictures, and what is heard in it; an
onset detector says when. The same figures of real, shuffled and shifted sound say what they are worth. Needs no
PyTorch.
"""

from mdsgen.evaluation.diversity import diversity
from mdsgen.evaluation.evaluation import Evaluation, evaluate, score_sounds
from mdsgen.evaluation.film import Film, FilmSounds
from mdsgen.evaluation.film_evaluation import FilmEvaluation, evaluate_films
from mdsgen.evaluation.film_scores import FilmScore, FilmScores
from mdsgen.evaluation.frechet import frechet_distance
from mdsgen.evaluation.held_out import HELD_OUT, Clip, Selection, held_out
from mdsgen.evaluation.judge import Judge, Prediction, thumbnails
from mdsgen.evaluation.matching import Matches, match
from mdsgen.evaluation.onsets import onsets
from mdsgen.evaluation.pitch import PitchSteps, pitch_steps
from mdsgen.evaluation.scores import Score, Scores
from mdsgen.evaluation.seams import Seams, seams

__all__ = [
    "HELD_OUT",
    "Clip",
    "Evaluation",
    "Film",
    "FilmEvaluation",
    "FilmScore",
    "FilmScores",
    "FilmSounds",
    "Judge",
    "Matches",
    "PitchSteps",
    "Prediction",
    "Score",
    "Scores",
    "Seams",
    "Selection",
    "diversity",
    "evaluate",
    "evaluate_films",
    "frechet_distance",
    "held_out",
    "match",
    "onsets",
    "pitch_steps",
    "score_sounds",
    "seams",
    "thumbnails",
]
