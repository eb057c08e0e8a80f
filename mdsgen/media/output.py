"""What a result is to hold besides the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdsgen.errors import SettingsError
from mdsgen.media.formats import FORMATS
from mdsgen.values import is_number


@dataclass(frozen=True)
class Output:
    """What becomes of a video's own sound, and the format of results that nobody names.

    ``mix`` is the share of the original sound in the new one, from 0 (none) to 1 (nothing else); the result has the
    original's rate and channels. ``keep_original`` puts the new sound beside the untouched original, as a track of its
    own. ``format`` is a suffix (:data:`mdsgen.media.FORMATS`); None chooses the container that can hold the pictures.
    Raises :class:`SettingsError` for what cannot be.
    """

    mix: float = 0.0
    keep_original: bool = False
    format: str | None = None

    def __post_init__(self) -> None:
        if not (is_number(self.mix) and 0.0 <= self.mix <= 1.0):
            raise SettingsError(f"mix must be 0 to 1, not {self.mix!r:.80}")
        if self.format is not None and self.format not in FORMATS:
            raise SettingsError(f"format {self.format!r} is unknown: expected one of {', '.join(FORMATS)}")
        if self.format is not None:
            self.check(Path(f"video{self.format}"))

    def check(self, target: Path) -> None:
        """Raise :class:`SettingsError` where a file of that name cannot be what is asked for."""
        kind = FORMATS.get(target.suffix.lower())
        if self.keep_original and kind is not None and kind.pictures is None:
            films = ", ".join(suffix for suffix, other in FORMATS.items() if other.pictures)
            raise SettingsError(f"a {target.suffix} file cannot keep the original sound beside the new: name a {films}")


DEFAULT_OUTPUT = Output()
"""The generated sound in place of the original."""
