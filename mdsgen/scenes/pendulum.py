"""A metronome: a rod that swings to and fro and ticks whenever it passes the middle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes.actor import LEVEL, Actor, Place, draw_contact
from mdsgen.scenes.material import METAL, WOOD, Material
from mdsgen.scenes.modal import Modes, body, convolve, pulses
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.truth import Event, Source


@dataclass(frozen=True)
class Metronome(Actor):
    """``beat`` seconds from tick to tick, the first at ``first``, until somebody holds the rod at ``stop``.

    The wider the rod swings (``swing`` radians), the louder it ticks. The case is of ``material``.
    """

    kind = "metronome"
    place: Place
    material: Material
    beat: float
    first: float
    stop: float
    swing: float
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Metronome:
        """50 to 150 beats a minute, in a case of wood or metal; one in three is stopped before the end."""
        beat = float(np.exp(rng.uniform(np.log(0.4), np.log(1.2))))
        stop = float(rng.uniform(0.5, 0.9)) * duration if rng.random() < 0.33 else duration + 2.0
        material = (WOOD, METAL)[rng.integers(2)]
        first, swing = float(rng.uniform(0.05, 1.0)) * beat, float(rng.uniform(0.3, 0.75))
        return cls(place, material, beat, first, stop, swing, int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        times = np.arange(self.first, self.stop, self.beat)
        events = tuple(Event(float(time), self.strength, self.material.name, self.kind) for time in times)
        return Source(self.kind, self.material.name, events, pitch=self.modes.pitch)

    @cached_property
    def modes(self) -> Modes:
        """How its case rings."""
        return body("shell", self.material, 0.16, np.random.default_rng([self.flaws]))

    @property
    def strength(self) -> float:
        """Of every tick."""
        return 1.5 * self.swing

    def angle(self, time: float) -> float:
        """Of the rod, in radians from upright; when it is stopped it stays where it is."""
        last = self.source.events[-1].time
        rest = min(self.stop, last + self.beat / 2)  # held at the end of a swing
        return float(self.swing * np.sin(np.pi * (min(time, rest) - self.first) / self.beat))

    def draw(self, canvas: Canvas, time: float) -> None:
        unit, place = self.place.unit, self.place
        self.ground_shadow(canvas, 0.0, 0.5, 0.4)
        canvas.bar(place.view(0.0, 0.62), place.view(0.0, 0.10), 0.06 * unit, self.material.paint, tip=0.2 * unit)
        canvas.box(*place.view(0.0, 0.05), (0.24 * unit, 0.05 * unit), (0.18, 0.14, 0.12))
        canvas.box(*place.view(0.0, 0.38), (0.008 * unit, 0.2 * unit), (0.95, 0.92, 0.85))
        angle, pivot = self.angle(time), (0.0, 0.15)
        turn = np.array([np.sin(angle), np.cos(angle)])
        draw_contact(canvas, place, (0.0, 0.95), self.source.events, time)
        end, weight = pivot + 0.75 * turn, pivot + 0.6 * turn
        canvas.bar(place.view(*pivot), place.view(*end), 0.012 * unit, (0.1, 0.1, 0.12))
        canvas.disc(*place.view(*weight), 0.06 * unit, (0.85, 0.65, 0.15))

    def sound(self, samples: int) -> np.ndarray:
        times = np.array([event.time for event in self.source.events])
        force = pulses(times, np.full(times.shape, LEVEL * self.strength), np.full(times.shape, 4e-4), samples)
        ring = self.modes.ring(samples)
        fade = np.exp(-np.arange(ring.size) / SAMPLE_RATE / 0.05).astype(np.float32)  # the case is full of works
        return convolve(force, ring * fade)
