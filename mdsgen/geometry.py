"""The one source of every length: token grid, time axis, window, samples, pictures and mel format of a latent geometry.

Sources: MDSGen (ICLR 2025, arXiv 2410.02130) for :data:`PAPER`; its public release, which works in AudioLDM's latent
space, for :data:`RELEASE`; Diff-Foley (NeurIPS 2023) for the frame rate and the mel format of the paper.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from mdsgen.errors import GeometryError

SAMPLE_RATE = 16_000
"""Samples per second of every waveform (mono)."""
PICTURE_SIZE = 56
"""Height and width of the pictures that the compact video encoder works on: larger frames are averaged down to it."""
FEATURE_CHANNELS = 512
"""Length of one feature vector of the video encoder."""
_MOST_FRAME_RATE, _LARGEST_FRAME = 1000, 4096  # more of a manifest or a recipe would only fill the memory


@dataclass(frozen=True)
class MelFormat:
    """How a waveform becomes a log-mel spectrogram.

    ``scale`` is how magnitudes become numbers: ``"ln"`` is the natural logarithm of the mel magnitude clamped at 1e-5
    (AudioLDM); ``"unit_db"`` is ``(20 log10(max(m, 1e-5)) - 20 + 100) / 100`` clipped to 0..1 (Diff-Foley).
    """

    bins: int
    hop: int
    fft: int
    f_min: float
    f_max: float
    scale: Literal["ln", "unit_db"]

    def __post_init__(self) -> None:
        for name in ("bins", "hop", "fft"):
            _positive(f"mel {name}", getattr(self, name))
        if self.hop > self.fft:
            raise GeometryError(f"mel hop {self.hop} is longer than its window of {self.fft} samples")
        for name in ("f_min", "f_max"):
            _number(f"mel {name}", getattr(self, name))
        if not 0 <= self.f_min < self.f_max <= SAMPLE_RATE / 2:
            raise GeometryError(
                f"mel band {self.f_min}..{self.f_max} Hz must be increasing and end at or below {SAMPLE_RATE // 2} Hz"
            )
        if self.scale not in ("ln", "unit_db"):
            raise GeometryError(f"mel scale {self.scale!r} is unknown: expected 'ln' or 'unit_db'")


@dataclass(frozen=True)
class Geometry:
    """The shape of a latent, and everything that follows from it.

    The latent is ``[channels, height, width]``; ``time_axis`` says which of the two spatial axes is time (0: height,
    1: width), the other is frequency. The autoencoder shrinks both mel axes by ``compression``. ``latent_scale`` is
    what a latent is multiplied by after encoding, and divided by before decoding. The video encoder sees ``frame_rate``
    pictures a second, squares of ``frame_size`` pixels; a dictionary without these means those of released models.
    """

    name: str
    channels: int
    height: int
    width: int
    time_axis: Literal[0, 1]
    compression: int
    latent_scale: float
    mel: MelFormat
    patch: int = 2
    frame_rate: float = 4.0
    frame_size: int = 224

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width", "compression", "patch", "frame_size"):
            _positive(name.replace("_", " "), getattr(self, name))
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise GeometryError(f"geometry name {self.name!r} must be a plain word")
        if self.time_axis not in (0, 1):
            raise GeometryError(f"time axis {self.time_axis!r} must be 0 (height) or 1 (width)")
        if self.height % self.patch or self.width % self.patch:
            raise GeometryError(
                f"a latent of {self.height}×{self.width} does not divide into patches of {self.patch}×{self.patch}"
            )
        _number("latent scale", self.latent_scale)
        if self.latent_scale <= 0:
            raise GeometryError(f"latent scale {self.latent_scale!r} must be positive")
        if self.latent_bins * self.compression != self.mel.bins:
            raise GeometryError(
                f"{self.latent_bins} latent bins × compression {self.compression} is not {self.mel.bins} mel bins"
            )
        _number("frame rate", self.frame_rate)
        if not 0 < self.frame_rate <= _MOST_FRAME_RATE or self.frame_size > _LARGEST_FRAME:
            raise GeometryError(
                f"pictures of {self.frame_size} pixels at {self.frame_rate:g} per second: expected a rate of more than "
                f"0, at most {_MOST_FRAME_RATE}, and at most {_LARGEST_FRAME} pixels"
            )
        if self.video_frames < 1:
            raise GeometryError(
                f"a window of {self.duration:.3f} s holds no video frame at {self.frame_rate:g} per second"
            )

    # The latent and its tokens

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)``."""
        return self.channels, self.height, self.width

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns, in the axis order of the latent."""
        return self.height // self.patch, self.width // self.patch

    @property
    def tokens(self) -> int:
        """Tokens of one clip."""
        return self.grid[0] * self.grid[1]

    @property
    def time_columns(self) -> int:
        """Tokens along the time axis."""
        return self.grid[self.time_axis]

    @property
    def frequency_rows(self) -> int:
        """Tokens along the frequency axis: the tokens of one time column."""
        return self.grid[1 - self.time_axis]

    @property
    def latent_frames(self) -> int:
        """Latent positions along the time axis."""
        return (self.height, self.width)[self.time_axis]

    @property
    def latent_bins(self) -> int:
        """Latent positions along the frequency axis."""
        return (self.height, self.width)[1 - self.time_axis]

    # Sound

    @property
    def mel_frames(self) -> int:
        """Spectrogram frames of one window."""
        return self.latent_frames * self.compression

    @property
    def samples(self) -> int:
        """Samples of one window, at :data:`SAMPLE_RATE`."""
        return self.mel_frames * self.mel.hop

    @property
    def duration(self) -> float:
        """Seconds of one window."""
        return self.samples / SAMPLE_RATE

    @property
    def column_samples(self) -> int:
        """Samples of one token column."""
        return self.patch * self.compression * self.mel.hop

    # Picture

    @property
    def video_frames(self) -> int:
        """Whole video frames that fit into one window."""
        return math.floor(self.samples / self.samples_per_frame)

    @property
    def samples_per_frame(self) -> Fraction:
        """Samples from one video frame to the next, exactly. Frame ``n`` is taken in the middle of its time."""
        return SAMPLE_RATE / Fraction(self.frame_rate)

    @property
    def pictures_per_column(self) -> int | None:
        """Video frames of one token column; None where that is no whole number."""
        pictures = self.column_samples / self.samples_per_frame
        return pictures.numerator if pictures.denominator == 1 else None

    @property
    def video_features(self) -> int:
        """Feature vectors that the video encoder gives a window: one a column, or else one a video frame."""
        return self.video_frames if self.pictures_per_column is None else self.time_columns

    @property
    def picture_size(self) -> int:
        """Side of the pictures that datasets keep: frames averaged down to :data:`PICTURE_SIZE`, or smaller ones."""
        return min(self.frame_size, PICTURE_SIZE)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; :meth:`from_dict` reads it back."""
        return {
            "name": self.name,
            "latent": list(self.latent_shape),
            "time_axis": self.time_axis,
            "patch": self.patch,
            "compression": self.compression,
            "latent_scale": self.latent_scale,
            "mel": dict(vars(self.mel)),
            "frame_rate": self.frame_rate,
            "frame_size": self.frame_size,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Geometry:
        """Read what :meth:`to_dict` wrote. Raises :class:`GeometryError` where something is missing or does not fit."""
        try:
            channels, height, width = values["latent"]
            return cls(
                name=values["name"],
                channels=channels,
                height=height,
                width=width,
                time_axis=values["time_axis"],
                compression=values["compression"],
                latent_scale=values["latent_scale"],
                mel=MelFormat(**values["mel"]),
                patch=values["patch"],
                **{name: values[name] for name in ("frame_rate", "frame_size") if name in values},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, GeometryError):
                raise
            raise GeometryError(f"this is not a geometry ({type(error).__name__}: {error})") from error


def completed(values: Any) -> Any:
    """Nested tables of plain values, in which every ``geometry`` from before it had pictures says of which kind."""
    if not isinstance(values, dict):
        return values
    found = {name: completed(value) for name, value in values.items()}
    if isinstance(found.get("geometry"), dict):
        found["geometry"] = {"frame_rate": Geometry.frame_rate, "frame_size": Geometry.frame_size, **found["geometry"]}
    return found


def _positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise GeometryError(f"{name} must be a positive whole number, not {value!r:.80}")


def _number(name: str, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:  # whole numbers may be larger than any float
        raise GeometryError(f"{name} must be a finite number, not {value!r:.80}")


PAPER = Geometry(
    name="paper",
    channels=4,
    height=16,
    width=64,
    time_axis=1,
    compression=8,
    latent_scale=0.18215,
    mel=MelFormat(bins=128, hop=256, fft=1024, f_min=125.0, f_max=7600.0, scale="unit_db"),
)
"""The paper's: the Stable Diffusion autoencoder on Diff-Foley's mel spectrogram. 256 tokens, 8.192 s."""

RELEASE = Geometry(
    name="release",
    channels=8,
    height=204,
    width=16,
    time_axis=0,
    compression=4,
    latent_scale=4.0,
    mel=MelFormat(bins=64, hop=160, fft=1024, f_min=0.0, f_max=8000.0, scale="ln"),
)
"""The public release's: AudioLDM's autoencoder. Time runs along the height. 816 tokens, 8.16 s."""

DEMO = replace(PAPER, name="demo", latent_scale=1.0, frame_rate=15.625, frame_size=56)
"""The paper's shapes with this project's own compact networks: latents have unit variance as they are, and four small
pictures come to a token column."""

GEOMETRIES = {geometry.name: geometry for geometry in (PAPER, RELEASE, DEMO)}


def geometry(name: str) -> Geometry:
    """The built-in geometry of that name. Raises :class:`GeometryError` naming the known ones."""
    try:
        return GEOMETRIES[name]
    except KeyError:
        known = ", ".join(sorted(GEOMETRIES))
        raise GeometryError(f"geometry {name!r} is unknown: expected one of {known}") from None
