"""Drawing what was seen and heard: a film strip above a spectrogram, with marks where something begins."""

from __future__ import annotations

import numpy as np

from mdsgen.evaluation.spectrogram import log_mel

FOUND_COLOUR, SECOND_COLOUR = (80, 220, 255), (130, 130, 130)
"""Marks of what was heard to begin, and of every second."""

_FLOOR = 0.15  # of the spectrogram's 0..1: what is darker is black
_HEIGHT, _MARK = 2, 14  # pixels per bin; of a row of marks
_STOPS = np.array([[0, 0, 4], [60, 15, 110], [150, 40, 110], [225, 90, 45], [250, 180, 30], [252, 255, 190]], float)


def film_with_sound(
    pictures: np.ndarray, sound: np.ndarray, duration: float, found: np.ndarray, spacing: float
) -> np.ndarray:
    """Pictures uint8 ``[P, h, w, 3]`` in a row, one every ``spacing`` seconds; the spectrogram; the onsets ``found``.

    All share one time axis: ``duration`` seconds over the whole width, with a stroke at every second below. Gives uint8
    ``[H, W, 3]``.
    """
    strip = film_strip(pictures)
    width = round(strip.shape[1] * duration / (len(pictures) * spacing))
    strip = np.pad(strip, ((0, 0), (0, max(0, width - strip.shape[1])), (0, 0)))[:, :width]
    seconds = np.arange(1, int(duration) + 1, dtype=float)
    return np.concatenate(
        [
            strip,
            spectrogram(sound, width),
            marks(found, duration, width, FOUND_COLOUR),
            marks(seconds, duration, width, SECOND_COLOUR),
        ]
    )


def film_strip(pictures: np.ndarray) -> np.ndarray:
    """``[F, h, w, 3]`` side by side: ``[h, F·w, 3]``."""
    return np.concatenate(list(pictures), axis=1)


def spectrogram(sound: np.ndarray, width: int) -> np.ndarray:
    """The spectrogram of ``sound [samples]``, ``width`` pixels wide, low tones below: uint8 ``[256, width, 3]``."""
    mel = np.clip((log_mel(sound) - _FLOOR) / (1 - _FLOOR), 0, 1)  # [frames, bins]
    columns = np.arange(width) * len(mel) // width
    return coloured(np.repeat(mel[columns].T[::-1], _HEIGHT, axis=0))


def marks(times: np.ndarray, duration: float, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A black row with a stroke at each of ``times`` (seconds): uint8 ``[14, width, 3]``."""
    row = np.zeros((_MARK, width, 3), np.uint8)
    for x in (np.asarray(times) / duration * width).astype(int):
        row[2:-2, max(x - 1, 0) : x + 2] = colour
    return row


def coloured(values: np.ndarray) -> np.ndarray:
    """Values ``[H, W]`` in 0..1 as colours from black over red to white: uint8 ``[H, W, 3]``."""
    places = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(values, places, _STOPS[:, channel]) for channel in range(3)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)
