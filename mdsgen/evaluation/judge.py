"""The judge: a network that predicts whether a sound belongs to its pictures, and what is heard in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdsgen.engines import EngineOptions, open_engine
from mdsgen.errors import TensorError
from mdsgen.evaluation.labels import SOUNDS
from mdsgen.evaluation.onsets import onsets
from mdsgen.evaluation.periodicity import hop_autocorrelation
from mdsgen.evaluation.spectrogram import log_mel
from mdsgen.geometry import DEMO
from mdsgen.media import averaged
from mdsgen.scenes import KINDS

FRAMES, LOG_MEL, FIGURES = "frames", "log_mel", "figures"
"""The inputs and the output of the judge's graph."""
PICTURE_RATE, PICTURE_SIZE = 4, 56
"""Pictures that the judge sees in a second, and their side in pixels, whatever the model that it judges sees."""
PICTURES = int(DEMO.duration * PICTURE_RATE)
"""Pictures of a clip."""
JUDGE_FILE = Path(__file__).parent / "judge.onnx"
"""The judge that comes with the package."""


@dataclass(frozen=True)
class Prediction:
    """What the judge and the onset detector say of one clip.

    ``alignment`` is a logit: above 0 the sound belongs to the pictures. ``kinds`` and ``sounds`` are how clearly each
    of :data:`~mdsgen.scenes.KINDS` and :data:`~mdsgen.evaluation.labels.SOUNDS` is heard, ``onsets`` seconds.
    """

    alignment: float
    kinds: np.ndarray
    sounds: np.ndarray
    embedding: np.ndarray
    onsets: np.ndarray
    hop_autocorrelation: float

    @property
    def aligned(self) -> bool:
        """Whether the sound is called that of the pictures."""
        return self.alignment > 0

    @property
    def kind(self) -> str:
        """What is heard most clearly."""
        return KINDS[int(self.kinds.argmax())]

    def material(self, kind: str) -> str:
        """What a thing of that kind is heard to be made of; it must come in several materials."""
        of_kind = [index for index, sound in enumerate(SOUNDS) if sound[0] == kind]
        return SOUNDS[max(of_kind, key=lambda index: float(self.sounds[index]))][1]


class Judge:
    """The judge, opened in ONNX Runtime. A context manager."""

    def __init__(self, path: Path = JUDGE_FILE, threads: int | None = None) -> None:
        self._engine = open_engine(path, "onnxruntime", EngineOptions(threads=threads))

    def predict(self, pictures: np.ndarray, sounds: Sequence[np.ndarray]) -> list[Prediction]:
        """Judge several sounds ``[131072]`` for one film, uint8 ``[32, 56, 56, 3]``."""
        expected = (PICTURES, PICTURE_SIZE, PICTURE_SIZE, 3)
        if pictures.shape != expected or any(sound.shape != (DEMO.samples,) for sound in sounds):
            shapes = [list(sound.shape) for sound in sounds]
            raise TensorError(f"expected pictures {list(expected)} and sounds [{DEMO.samples}], got {shapes}")
        mels = np.stack([log_mel(sound) for sound in sounds])  # [N, 512, 128]
        films = np.repeat(pictures[np.newaxis], len(sounds), axis=0)
        figures = self._engine.run({FRAMES: films, LOG_MEL: mels})[FIGURES]  # [N, 1 + kinds + sounds + embedding]
        aligned, kinds, heard, embedding = np.split(figures, np.cumsum([1, len(KINDS), len(SOUNDS)]), axis=1)
        return [
            Prediction(
                float(aligned[index, 0]),
                kinds[index],
                heard[index],
                embedding[index],
                onsets(sound),
                hop_autocorrelation(sound),
            )
            for index, sound in enumerate(sounds)
        ]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def thumbnails(frames: np.ndarray) -> np.ndarray:
    """Pictures, four a second, averaged down to the judge's: uint8 ``[F, k·56, k·56, 3]`` → ``[32, 56, 56, 3]``."""
    side = frames.shape[1]
    if side % PICTURE_SIZE or frames.shape[1:] != (side, side, 3) or len(frames) < PICTURES:
        raise TensorError(
            f"expected {PICTURES} square pictures, a multiple of {PICTURE_SIZE} wide, got {list(frames.shape)}"
        )
    return averaged(frames[:PICTURES], PICTURE_SIZE)


def fitted(sound: np.ndarray) -> np.ndarray:
    """A sound cut to what the judge hears, or with silence after it: float32 ``[131072]``."""
    sound = np.asarray(sound, np.float32)[: DEMO.samples]
    return np.asarray(np.pad(sound, (0, DEMO.samples - len(sound))))
