"""The kinds of file that can be written, by the suffix of their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mdsgen.errors import MediaError
from mdsgen.geometry import SAMPLE_RATE


@dataclass(frozen=True)
class Format:
    """How a suffix is written: FFmpeg's muxer and its options, and the encoder of the sound.

    ``pictures`` is a picture encoder that the muxer knows, whatever pictures are copied into it in the end; None where
    the file holds sound alone.
    """

    muxer: str
    sound: str
    pictures: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_mp4(self) -> bool:
        """Whether it is of the family of MP4 and QuickTime."""
        return self.muxer in ("mp4", "mov", "3gp")

    @property
    def is_riff(self) -> bool:
        """Whether it is of the family of AVI: codecs have names of four characters, H.264 and HEVC start codes, and
        pictures no time but that at which they are decoded."""
        return self.muxer in RIFF

    @property
    def holds_rotation(self) -> bool:
        """Whether it can say that pictures are to be turned."""
        return self.is_mp4 or self.holds_separate_alpha

    @property
    def holds_separate_alpha(self) -> bool:
        """Whether the transparency of VP8 and VP9, which lies beside their packets, can be kept."""
        return self.muxer in ("matroska", "webm")


RIFF = ("avi", "asf")
"""Muxers and demuxers of the family of AVI."""

# MP4 counts the length of its tracks in milliseconds unless told otherwise: here, in samples.
_IN_SAMPLES = {"movie_timescale": str(SAMPLE_RATE)}

FORMATS = {
    ".wav": Format("wav", "pcm_s16le"),
    ".flac": Format("flac", "flac"),
    ".mp3": Format("mp3", "libmp3lame"),
    ".m4a": Format("ipod", "aac", options=_IN_SAMPLES),
    ".ogg": Format("ogg", "libopus"),
    ".opus": Format("opus", "libopus"),
    ".mp4": Format("mp4", "aac", "mpeg4", _IN_SAMPLES),
    ".mkv": Format("matroska", "aac", "mpeg4"),
    ".mov": Format("mov", "aac", "mpeg4", _IN_SAMPLES),
    ".webm": Format("webm", "libopus", "libvpx"),
    ".avi": Format("avi", "pcm_s16le", "mpeg4"),
    ".flv": Format("flv", "aac", "flv"),
    ".wmv": Format("asf", "wmav2", "mpeg4"),
    ".3gp": Format("3gp", "aac", "mpeg4", _IN_SAMPLES),
}
"""What can be written, by the target's suffix."""

_OTHER_NAMES = {".m4v": ".mp4", ".asf": ".wmv", ".3g2": ".3gp"}


def format_of(target: Path) -> Format:
    """The format that a name asks for. Raises :class:`MediaError` for one that is unknown."""
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise MediaError(f"cannot write {target}: expected a name that ends in {', '.join(FORMATS)}")
    return kind


def film_suffixes(source: Path) -> list[str]:
    """The suffixes that a result of ``source`` may get by itself, in order of preference."""
    own = _OTHER_NAMES.get(source.suffix.lower(), source.suffix.lower())
    known = [own] if own in FORMATS and FORMATS[own].pictures else []
    return list(dict.fromkeys([".mp4", *known, ".mkv", ".mov"]))
