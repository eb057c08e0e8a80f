"""A video's own sound, on the picture's time line: 16 kHz mono, or as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from av import AudioFrame, AudioResampler
from av.audio.layout import AudioLayout

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.container import decode, sound_stream
from mdsgen.media.video import VideoInfo, probe, sample_count

JITTER = 0.05
"""Seconds by which time stamps may disagree with the count before sound is moved: they are often rounded to 1 ms."""


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
    count = sample_count(info.remaining(start, duration))
    return (block[0] for block in aligned_sound(info, start, count, SAMPLE_RATE, "mono"))


def aligned_sound(info: VideoInfo, start: float, count: int, rate: int, layout: str) -> Iterator[np.ndarray]:
    """Yield ``count`` samples of a video's own sound at ``rate`` per second: blocks ``[channels, samples]``, float32.

    ``layout`` is FFmpeg's name of the channel layout. See :func:`read_sound` for the rest.
    """
    origin, channels = info.start + start, int(AudioLayout(layout).nb_channels)
    done = 0
    for block, time in _resampled(info, origin if start else None, rate, layout):
        at = round((time - origin) * rate)
        gap = at - done if abs(at - done) > JITTER * rate or not done else 0
        for silence in _silence(min(gap, count - done), rate, channels):
            yield silence
            done += silence.shape[1]
        block = block[:, max(0, -gap) :][:, : count - done]
        if block.size:
            yield block
            done += block.shape[1]
        if done == count:
            return
    yield from _silence(count - done, rate, channels)


def _resampled(info: VideoInfo, since: float | None, rate: int, layout: str) -> Iterator[tuple[np.ndarray, float]]:
    """Blocks of sound, and the file's time of their first samples."""
    resampler, form = None, None
    for frame in decode(info.path, sound_stream, since, info.clock):
        if resampler is None or form != _form(frame):  # broadcasts change it between programmes
            if resampler is not None:
                yield from map(_block, resampler.resample(None))
            resampler, form = AudioResampler(format="fltp", layout=layout, rate=rate), _form(frame)
        yield from map(_block, resampler.resample(frame))
    if resampler is not None:
        yield from map(_block, resampler.resample(None))


def _form(frame: AudioFrame) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _block(frame: Any) -> tuple[np.ndarray, float]:
    return frame.to_ndarray(), float(frame.pts * frame.time_base)  # [channels, samples]


def _silence(samples: int, rate: int, channels: int) -> Iterator[np.ndarray]:
    while samples > 0:
        yield np.zeros((channels, min(samples, rate)), dtype=np.float32)
        samples -= rate
