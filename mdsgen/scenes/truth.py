"""What really happens in a scene: which things sound, of what material, when, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INTENSITY_RATE = 50
"""Values per second of an intensity curve."""


@dataclass(frozen=True, order=True)
class Event:
    """Something that is heard at ``time`` (seconds from the first picture).

    ``strength`` is proportional to the sound pressure it makes near by; 1 is a fist-sized ball that fell one metre.
    """

    time: float
    strength: float
    material: str
    kind: str


@dataclass(frozen=True)
class Source:
    """One thing that sounds: its ``events`` and, where it sounds all the time, its ``intensity``.

    ``intensity`` is float32 in 0..1, :data:`INTENSITY_RATE` values per second over the whole scene: how hard it rains,
    how fast the fan turns. ``pitch``, where it has one, is that of its lowest tone in Hz, as many values, or a single
    one for all time.
    """

    kind: str
    material: str
    events: tuple[Event, ...]
    intensity: np.ndarray | None = None
    pitch: np.ndarray | None = None


@dataclass(frozen=True)
class Truth:
    """All sources of a scene, the one that the scene is named after first."""

    sources: tuple[Source, ...]

    @property
    def kind(self) -> str:
        """The kind of the scene."""
        return self.sources[0].kind

    @property
    def material(self) -> str:
        """What its main source is made of."""
        return self.sources[0].material

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of all sources, in order of time."""
        return tuple(sorted(event for source in self.sources for event in source.events))
