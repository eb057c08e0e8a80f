"""What things are made of: how it looks, how it rings and how it bounces; the same in every kind of scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
"""Red, green and blue in 0..1."""
Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Colours ``[h, w, 3]`` of a surface from its own coordinates ``u [h, w]`` and ``v [h, w]``, both in -1..1."""


@dataclass(frozen=True)
class Material:
    """A solid.

    ``speed`` is that of sound in it, in m/s: pitch is proportional to it. ``loss`` is the tangent of the angle of
    internal friction: every mode decays at ``pi * frequency * loss`` per second, which tells materials apart by ear
    whatever the shape (Wildes & Richards, "Recovering material properties from sound", 1988; Klatzky, Pai and
    Krotkov, "Perception of material from contact sounds", 2000). ``contact`` is the seconds that a 0.1 m ball of it
    touches a stone floor at 1 m/s. ``restitution`` is the share of its speed that it keeps in a bounce.
    """

    name: str
    speed: float
    loss: float
    contact: float
    restitution: float
    colour: Colour
    pattern: Callable[[np.ndarray, np.ndarray], np.ndarray]
    gloss: float
    opacity: float = 1.0

    def paint(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """A lit, rounded surface: the light comes from the upper left."""
        shade = 0.78 - 0.2 * u - 0.24 * v
        gleam = self.gloss * np.exp(-((u + 0.35) ** 2 + (v + 0.4) ** 2) * 9)
        colour = (shade * self.pattern(u, v))[..., np.newaxis] * np.asarray(self.colour, dtype=np.float32)
        return np.asarray(colour + gleam[..., np.newaxis], dtype=np.float32)


def _grain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(1 + 0.28 * np.sin(9 * v + 1.5 * np.sin(2.5 * u)))


def _brushed(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(0.9 + 0.35 * np.cos(3.2 * (u + v)))


def _clear(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(0.85 + 0.4 * (u * u + v * v))


def _glazed(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(1.08 - 0.5 * (np.abs(v - 0.1) < 0.22))


def _plain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(1 + 0.9 * (np.abs(u) < 0.16))


# The speeds of wood, metal, glass and ceramic are those of textbooks; a rubber ball sounds with the air inside it.
MATERIALS = {
    material.name: material
    for material in (
        Material("wood", 3600.0, 2.0e-2, 7.0e-4, 0.52, (0.66, 0.40, 0.18), _grain, 0.0),
        Material("metal", 5100.0, 6.0e-4, 2.5e-4, 0.62, (0.62, 0.66, 0.74), _brushed, 0.55),
        Material("glass", 5500.0, 1.8e-3, 2.5e-4, 0.68, (0.40, 0.86, 0.84), _clear, 0.7, 0.62),
        Material("ceramic", 4600.0, 5.0e-3, 3.5e-4, 0.45, (0.94, 0.90, 0.98), _glazed, 0.3),
        Material("rubber", 950.0, 1.4e-1, 3.0e-3, 0.82, (0.84, 0.13, 0.12), _plain, 0.1),
    )
}
"""All solids, by name."""
WOOD, METAL, GLASS, CERAMIC, RUBBER = MATERIALS.values()
SKIN = Material("skin", 0.0, 0.0, 1.5e-3, 0.0, (0.95, 0.89, 0.74), _clear, 0.0)
"""A drum's head: its tension makes its pitch, so it has no speed of sound and no loss of its own here."""
