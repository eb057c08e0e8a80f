"""A ball that is let fall, bounces until it lies still, is lifted and falls again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsgen.scenes.actor import GRAVITY, LEVEL, SHUTTER, Actor, Place, draw_contact
from mdsgen.scenes.material import MATERIALS, Material
from mdsgen.scenes.modal import Modes, body, convolve, pulses
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.truth import Event, Source

_SLOWEST = 0.4  # m/s: below it the ball lies still
_UNIT_SPEED = float(np.sqrt(2 * GRAVITY))  # of a fall of one metre


@dataclass(frozen=True)
class Drop:
    """The ball hangs ``height`` metres over the ground, after a lift of ``lift`` seconds, and falls at ``release``."""

    release: float
    height: float
    lift: float

    def contacts(self, restitution: float) -> list[tuple[float, float]]:
        """Time and speed of every contact with the ground: falls last ``v / g``, and each bounce keeps a share of v."""
        speed = float(np.sqrt(2 * GRAVITY * self.height))
        time, found = self.release + speed / GRAVITY, []
        while speed > _SLOWEST:
            found.append((time, speed))
            speed *= restitution
            time += 2 * speed / GRAVITY
        return found


@dataclass(frozen=True)
class Bounce(Actor):
    """A ball of ``material`` and ``radius`` (metres). A contact is as strong as it is fast and the ball is big."""

    kind = "bounce"
    place: Place
    material: Material
    radius: float
    drops: tuple[Drop, ...]
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Bounce:
        """Any solid, 7 to 15 cm in radius, dropped as often as there is time for it."""
        material = list(MATERIALS.values())[rng.integers(len(MATERIALS))]
        radius = float(rng.uniform(0.07, 0.15))
        time, drops = float(rng.uniform(0.3, 1.3)), []
        while time < duration:
            drop = Drop(time, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.5, 0.8)))
            drops.append(drop)
            time = drop.contacts(material.restitution)[-1][0] + float(rng.uniform(0.2, 0.9)) + 0.8
            time += float(rng.uniform(0.1, 0.5))
        return cls(place, material, radius, tuple(drops), int(rng.integers(1 << 31)))

    @cached_property
    def _contacts(self) -> tuple[np.ndarray, np.ndarray]:
        pairs = [pair for drop in self.drops for pair in drop.contacts(self.material.restitution)]
        return np.array([time for time, _ in pairs]), np.array([speed for _, speed in pairs])

    @cached_property
    def source(self) -> Source:
        events = tuple(
            Event(float(time), float(speed / _UNIT_SPEED * self.radius / 0.1), self.material.name, self.kind)
            for time, speed in zip(*self._contacts, strict=True)
        )
        return Source(self.kind, self.material.name, events, pitch=self.modes.pitch)

    def _hanging(self, time: float) -> Drop | None:
        """The drop that the ball is lifted for, or hangs for, or None where it moves freely. It starts up there."""
        coming = next((drop for drop in self.drops if time < drop.release), None)
        if coming is None or (coming is not self.drops[0] and time < coming.release - coming.lift):
            return None
        return coming

    def height(self, time: float) -> float:
        """Metres between the ground and the ball."""
        hanging = self._hanging(time)
        if hanging is not None:
            if hanging is self.drops[0]:
                return hanging.height
            share = min((1 - (hanging.release - time) / hanging.lift) / 0.8, 1.0)  # it hangs still at last
            return hanging.height * share * share * (3 - 2 * share)
        fall = [drop for drop in self.drops if drop.release <= time][-1]
        times, speeds = self._contacts
        last = int(np.searchsorted(times, time, side="right")) - 1
        if last < 0 or times[last] < fall.release:
            return max(fall.height - GRAVITY / 2 * (time - fall.release) ** 2, 0.0)
        age = time - times[last]
        return max(float(self.material.restitution * speeds[last] * age - GRAVITY / 2 * age * age), 0.0)

    @cached_property
    def modes(self) -> Modes:
        """How it rings."""
        return body("shell", self.material, 2 * self.radius, np.random.default_rng([self.flaws]))

    def draw(self, canvas: Canvas, time: float) -> None:
        height = self.height(time)
        before, after = self.height(time - SHUTTER / 2), self.height(time + SHUTTER / 2)
        unit = self.place.unit
        self.ground_shadow(canvas, 0.0, 2.2 * self.radius * (1 + 0.5 * height), 0.55 / (1 + 3 * height))
        draw_contact(canvas, self.place, (0.0, 0.0), self.source.events, time)
        if self._hanging(time):
            x, y = self.place.view(0.0, height + 2 * self.radius)
            canvas.bar((x, -0.1), (x, y), 0.012 * self.place.zoom, (0.16, 0.16, 0.2))
            canvas.box(x, y, (0.6 * self.radius * unit, 0.016 * self.place.zoom), (0.95, 0.75, 0.1))
        x, y = self.place.view(0.0, (before + after) / 2 + self.radius)
        squash = self._squash(time)
        radius, smear = self.radius * unit, abs(after - before) * unit / 2
        y += radius * (1 - squash) if squash < 1 else 0.0
        alpha = self.material.opacity * radius / (radius + 0.5 * smear)  # what moves is seen through
        canvas.disc(x, y, radius / squash**0.5, self.material.paint, alpha, ry=radius * squash + smear)

    def _squash(self, time: float) -> float:
        """How flat the ball is: only what is soft gives way, around the moment of contact."""
        times, speeds = self._contacts
        near = int(np.abs(times - time).argmin())
        depth = min(60 * self.material.contact * speeds[near] / 5, 0.4)
        return float(1 - depth * np.exp(-(((times[near] - time) / 0.02) ** 2)))

    def sound(self, samples: int) -> np.ndarray:
        times, speeds = self._contacts
        strengths = np.array([event.strength for event in self.source.events])
        contacts = self.material.contact * self.radius / 0.1 * speeds**-0.2
        force = pulses(times, LEVEL * strengths, contacts, samples)
        return convolve(force, self.modes.ring(samples))
