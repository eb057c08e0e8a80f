"""Encoding sound for a container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av.error
import numpy as np
from av import AudioFrame, CodecContext
from av.audio.layout import AudioLayout
from av.codec import Codec
from av.container import OutputContainer

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE

BITS_PER_SAMPLE, HIGHEST_BIT_RATE = 6, 128_000
"""Of AAC and its like, for one channel: 96 kb/s at 16 kHz is the most that AAC takes."""

_SIXTEEN_BITS = ("pcm_s16le", "flac")
_COMMON_RATE = 48_000  # every encoder here takes it


@dataclass(frozen=True)
class SoundShape:
    """Samples per second, and FFmpeg's name of the channel layout."""

    rate: int
    layout: str

    @property
    def channels(self) -> int:
        """How many channels the layout has."""
        return int(AudioLayout(self.layout).nb_channels)


GENERATED = SoundShape(SAMPLE_RATE, "mono")
"""What the networks make."""


class SoundEncoder:
    """A sound track of ``container``, encoded from sound of ``shape``.

    What the encoder cannot take (44.1 kHz in Opus, six channels in MP3) is resampled to the nearest that it can.
    Raises :class:`MediaError` where this build of PyAV has no such encoder.
    """

    def __init__(self, container: OutputContainer, encoder: str, shape: SoundShape) -> None:
        self.shape, self.encoded = shape, 0  # samples per channel, at the rate of ``shape``
        self._samples = "s16" if encoder in _SIXTEEN_BITS else "fltp"
        taken = accepted_shape(encoder, shape)
        add: Any = container.add_stream
        self.stream = add(encoder, rate=taken.rate, layout=taken.layout)
        if encoder not in _SIXTEEN_BITS:
            self.stream.bit_rate = _bit_rate(taken)

    def encode(self, sound: np.ndarray) -> Iterator[Any]:
        """Encode ``[channels, samples]``, clipped to -1..1, a second at a time: the packets of each second."""
        rate = self.shape.rate
        for first in range(0, sound.shape[1], rate):
            piece = sound[:, first : first + rate]
            frame = AudioFrame.from_ndarray(
                _converted(piece, self._samples), format=self._samples, layout=self.shape.layout
            )
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), self.encoded
            self.encoded += piece.shape[1]
            yield self.stream.encode(frame)

    def flush(self) -> Any:
        """The packets that the encoder still holds."""
        return self.stream.encode(None)


def accepted_shape(encoder: str, shape: SoundShape) -> SoundShape:
    """``shape``, or what comes nearest to it of what the encoder takes."""
    try:
        Codec(encoder, "w")
    except ValueError as error:
        raise MediaError(f"this build of PyAV has no encoder {encoder}, which the format needs") from error
    layouts = [shape.layout, "stereo"] if shape.channels > 1 else [shape.layout]
    for layout in layouts:
        for rate in (shape.rate, _COMMON_RATE):
            if _opens(encoder, SoundShape(rate, layout)):
                return SoundShape(rate, layout)
    raise MediaError(f"the encoder {encoder} takes neither {shape.rate} Hz {shape.layout} nor {_COMMON_RATE} Hz stereo")


def _opens(encoder: str, shape: SoundShape) -> bool:
    context: Any = CodecContext.create(encoder, "w")
    context.sample_rate, context.layout, context.format = shape.rate, shape.layout, context.codec.audio_formats[0].name
    context.bit_rate = _bit_rate(shape)
    try:
        context.open()
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    return True


def _bit_rate(shape: SoundShape) -> int:
    return min(BITS_PER_SAMPLE * shape.rate, HIGHEST_BIT_RATE) * shape.channels


def _converted(sound: np.ndarray, samples: str) -> np.ndarray:
    """``[channels, samples]`` in FFmpeg's sample format ``s16`` (``[1, samples x channels]``) or ``fltp``."""
    clipped: np.ndarray = np.clip(sound, -1.0, 1.0)
    if samples == "fltp":
        return np.ascontiguousarray(clipped)
    packed: np.ndarray = np.rint(clipped.T.reshape(1, -1) * 32767).astype(np.int16)
    return packed
