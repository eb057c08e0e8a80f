"""One thing in a scene that moves and sounds, and the place where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdsgen.scenes.material import Colour
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.truth import Event, Source

GRAVITY = 9.81
"""Metres per second squared."""
SHUTTER = 1 / 60
"""Seconds that a picture is exposed."""
LEVEL = 0.75
"""Sound pressure of a blow of strength 1 at zoom 1, where full scale is 1."""
CONTACT_LIFE = 0.5
"""Seconds that the dust of a blow can be seen."""
DUST: Colour = (0.96, 0.93, 0.85)
"""Its colour."""
STEADY = 0.2
"""Sound pressure of what sounds all the time, at intensity 1 and zoom 1."""


@dataclass(frozen=True)
class Place:
    """Where something stands: ``x`` and ``ground`` in the picture, and how near it is.

    At ``zoom`` 1 the picture is ``metres`` wide there; at 0.5 the thing is twice as far, half as big and half as loud.
    """

    x: float = 0.5
    ground: float = 0.86
    zoom: float = 1.0
    metres: float = 1.3

    @property
    def unit(self) -> float:
        """Sides of the picture per metre."""
        return self.zoom / self.metres

    def view(self, x: float, y: float) -> tuple[float, float]:
        """Where in the picture a point lies that is ``x`` metres to the right and ``y`` metres above the ground."""
        return self.x + x * self.unit, self.ground - y * self.unit


class Actor(ABC):
    """One thing that moves and sounds; everything about it was drawn when it was made."""

    kind: ClassVar[str]
    place: Place

    @property
    @abstractmethod
    def source(self) -> Source:
        """What it does, as the truth has it."""

    @abstractmethod
    def draw(self, canvas: Canvas, time: float) -> None:
        """Paint it as it is at ``time``, in the middle of the exposure."""

    @abstractmethod
    def sound(self, samples: int) -> np.ndarray:
        """Its sound at zoom 1, float32 ``[samples]``."""

    def ground_shadow(self, canvas: Canvas, x: float, width: float, dark: float) -> None:
        """A shadow on the ground at ``x``, as wide as ``width`` metres."""
        at_x, at_y = self.place.view(x, 0.0)
        radius = width / 2 * self.place.unit
        canvas.disc(at_x, at_y + 0.12 * radius, radius, (0.0, 0.0, 0.0), dark, ry=0.2 * radius)


def draw_contact(
    canvas: Canvas, place: Place, spot: tuple[float, float], events: tuple[Event, ...], time: float
) -> None:
    """What a blow throws up: a flash at first, then a ring of dust that widens with its age and fades in half a second.

    ``spot`` is in metres. The ring's radius tells when the blow fell, its brightness how hard it was.
    """
    x, y = place.view(*spot)
    for event in events:
        age = time - event.time
        if not 0 <= age < CONTACT_LIFE:
            continue
        force = min(0.35 + 0.65 * event.strength, 1.2)
        left = 1 - age / CONTACT_LIFE
        if age < 0.08:
            canvas.glow(x, y, 0.16 * force * place.zoom, (1.0, 0.95, 0.7), 0.9 * (1 - age / 0.08))
        radius = (0.035 + 0.42 * age) * place.zoom
        canvas.ring(x, y, radius, (0.012 + 0.02 * force) * place.zoom, DUST, min(force * left, 1.0), ry=0.32 * radius)
