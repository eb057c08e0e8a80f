"""Generated sound blended into a video's own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.error
import numpy as np
from av import AudioFrame, AudioResampler

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.container import open_input, sound_stream
from mdsgen.media.encoder import GENERATED, SoundShape
from mdsgen.media.sound import aligned_sound
from mdsgen.media.video import VideoInfo


class Mixer:
    """Blends 16 kHz mono into the sound of a video, at the rate and in the channels of the latter.

    ``share`` is that of the original. The generated sound goes to the front channels. Sample 0 belongs to ``start`` on
    the picture's time line, and there are ``samples`` samples at 16 kHz in all.
    """

    def __init__(self, info: VideoInfo, start: float, samples: int, share: float) -> None:
        self.shape = original_shape(info)
        self._total = samples_at(samples, self.shape.rate)
        self._share, self._done = share, 0
        self._original = aligned_sound(info, start, self._total, self.shape.rate, self.shape.layout)
        self._rest = np.zeros((self.shape.channels, 0), np.float32)
        self._resampler = AudioResampler(format="flt", layout="mono", rate=self.shape.rate)
        self._given = 0  # samples of generated sound

    def blend(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """Mix the next ``[samples]`` of generated sound: blocks of ``[channels, samples]``."""
        if self.shape.rate == SAMPLE_RATE:
            yield self._mixed(block)
            return
        frame: Any = AudioFrame.from_ndarray(block[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), self._given
        self._given += block.size
        for resampled in self._resampler.resample(frame):
            yield self._mixed(resampled.to_ndarray()[0])

    def rest(self) -> Iterator[np.ndarray]:
        """What the resampler still holds, to the last of the promised samples."""
        if self.shape.rate != SAMPLE_RATE:
            for resampled in self._resampler.resample(None):
                yield self._mixed(resampled.to_ndarray()[0])
        if self._done < self._total:
            yield self._mixed(np.zeros(self._total - self._done, np.float32))

    def _mixed(self, generated: np.ndarray) -> np.ndarray:
        generated = generated[: self._total - self._done]
        mixed = self._share * self._next(generated.size)  # [channels, samples]
        mixed[:2] += (1.0 - self._share) * generated
        self._done += generated.size
        return mixed

    def _next(self, samples: int) -> np.ndarray:
        """The next ``samples`` samples of the original, ``[channels, samples]``."""
        parts, have = [self._rest], self._rest.shape[1]
        while have < samples:
            block = next(self._original)  # there are as many as were asked for
            parts.append(block)
            have += block.shape[1]
        joined = np.concatenate(parts, axis=1)
        self._rest = joined[:, samples:]
        return joined[:, :samples]


def samples_at(samples: int, rate: int) -> int:
    """How many samples at ``rate`` last as long as ``samples`` at 16 kHz."""
    return round(Fraction(samples * rate, SAMPLE_RATE))


def original_shape(info: VideoInfo) -> SoundShape:
    """Rate and channels of a video's own sound; those of the generated where a file does not say."""
    with open_input(info.path) as container:
        stream = sound_stream(container)
        shape = SoundShape(stream.rate or SAMPLE_RATE, stream.layout.name)
    try:
        AudioResampler(format="fltp", layout=shape.layout, rate=shape.rate)
        known = shape.channels > 0
    except (av.error.FFmpegError, ValueError):
        known = False
    return shape if known else SoundShape(shape.rate, GENERATED.layout)
