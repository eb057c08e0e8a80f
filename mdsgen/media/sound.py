"""A video's own sound, on the picture's time line: 16 kHz, mono."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from av import AudioFrame, AudioResampler

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.container import decode, sound_stream
from mdsgen.media.video import VideoInfo, probe, sample_count

JITTER = SAMPLE_RATE // 20
"""Samples by which time stamps may disagree with the count before sound is moved: they are often rounded to 1 ms."""


def read_sound(
    source: VideoInfo | str | os.PathLike[str], *, start: float = 0.0, duration: float | None = None
) -> Iterator[np.ndarray]:
    """Yield ``duration`` seconds of a video's own sound from ``start`` on, in bounded memory.

    Blocks are float32 mono at 16 kHz, of at most a second or one decoded frame, and :func:`sample_count` samples in
    all. Sample 0 belongs to the moment ``start`` of the *picture*: where the sound begins later, pauses or ends early
    there is silence; what lies before is left out. Raises :class:`MediaError` where the video has no sound.
    """
    info = source if isinstance(source, VideoInfo) else probe(source)
    if not info.has_audio:
        raise MediaError(f"{info.path} has no sound of its own")
    return _aligned(info, start, sample_count(info.remaining(start, duration)))


def _aligned(info: VideoInfo, start: float, count: int) -> Iterator[np.ndarray]:
    origin = info.start + start
    done = 0
    for block, time in _resampled(info, origin if start else None):
        at = round((time - origin) * SAMPLE_RATE)
        gap = at - done if abs(at - done) > JITTER or not done else 0
        for silence in _silence(min(gap, count - done)):
            yield silence
            done += silence.size
        block = block[max(0, -gap) :][: count - done]
        if block.size:
            yield block
            done += block.size
        if done == count:
            return
    yield from _silence(count - done)


def _resampled(info: VideoInfo, since: float | None) -> Iterator[tuple[np.ndarray, float]]:
    """Blocks of sound, and the file's time of their first samples."""
    resampler, layout = None, None
    for frame in decode(info.path, sound_stream, since, info.clock):
        if resampler is None or layout != _layout(frame):  # broadcasts change it between programmes
            if resampler is not None:
                yield from map(_block, resampler.resample(None))
            resampler, layout = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE), _layout(frame)
        yield from map(_block, resampler.resample(frame))
    if resampler is not None:
        yield from map(_block, resampler.resample(None))


def _layout(frame: AudioFrame) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _block(frame: Any) -> tuple[np.ndarray, float]:
    return frame.to_ndarray()[0], float(frame.pts * frame.time_base)  # [samples]


def _silence(samples: int) -> Iterator[np.ndarray]:
    while samples > 0:
        yield np.zeros(min(samples, SAMPLE_RATE), dtype=np.float32)
        samples -= SAMPLE_RATE
