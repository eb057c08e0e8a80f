"""Rain, fire and the sea: they sound all the time, and how strongly can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsgen.scenes.actor import STEADY, Actor, Place
from mdsgen.scenes.material import METAL, WOOD, Colour
from mdsgen.scenes.modal import Modes, body, convolve, pulses
from mdsgen.scenes.noise import at, band, bursts, curve, poisson, shaped, stretched
from mdsgen.scenes.raster import Canvas, Veil
from mdsgen.scenes.truth import INTENSITY_RATE, Event, Source

SURFACES: dict[str, Colour] = {"water": (0.16, 0.30, 0.42), "metal": (0.50, 0.54, 0.60), "leaves": (0.16, 0.42, 0.14)}
"""What it rains on."""


@dataclass(frozen=True)
class Rain(Actor):
    """Rain on ``surface``: the harder it is, the more drops, the longer their streaks and the more splashes."""

    kind = "rain"
    place: Place
    surface: str
    intensity: np.ndarray
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Rain:
        """From a drizzle to a cloudburst, on water, a metal roof or leaves."""
        surface = list(SURFACES)[rng.integers(len(SURFACES))]
        return cls(place, surface, curve(rng, duration, 0.0, 1.0) ** 1.5, int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        return Source(self.kind, self.surface, (), self.intensity)

    @cached_property
    def _drops(self) -> np.ndarray:
        """Place, phase, speed and depth of every drop, ``[drops, 4]`` in 0..1."""
        return np.random.default_rng([self.flaws, 1]).random((320, 4))

    def draw(self, canvas: Canvas, time: float) -> None:
        hard, ground = at(self.intensity, time), self.place.ground - 0.16
        canvas.pixels *= np.float32(0.85 - 0.3 * hard)
        canvas.below(np.full(2, ground), SURFACES[self.surface])
        shown = self._drops[: int(6 + 314 * hard)]
        x, phase, speed, depth = shown.T
        fall = time * (1.5 + speed) + phase
        y = fall % 1.0 * 1.1
        length = (0.02 + 0.09 * hard) * (0.6 + 0.4 * depth) * self.place.zoom
        x = (x + 0.618 * np.floor(fall)) % 1.0  # the next drop falls elsewhere
        slant = 0.15 * length
        starts, ends = np.stack([x, y - length], axis=1), np.stack([x - slant, y], axis=1)
        canvas.streaks(starts, ends, (0.85, 0.90, 0.98), 0.35 + 0.5 * depth, 0.004 * self.place.zoom)
        for x0, phase0, speed0, depth0 in self._drops[: int(1 + 45 * hard)]:
            age = time * (2.0 + speed0) + phase0
            where, age = (x0 + 0.618 * np.floor(age)) % 1.0, age % 1.0
            row = ground + 0.02 + (0.97 - ground) * depth0
            radius = (0.01 + 0.05 * age) * self.place.zoom * (0.5 + depth0)
            canvas.ring(where, row, radius, 0.005, (0.88, 0.93, 1.0), 0.8 * (1 - age), ry=0.35 * radius)

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        hard = stretched(self.intensity, samples)
        low, high = {"water": (700, 5000), "metal": (400, 6500), "leaves": (250, 3000)}[self.surface]
        sound = np.float32(0.5 * STEADY) * hard * shaped(rng, samples, band(low, high))
        times = poisson(rng, 0.02 + self.intensity, 90.0)
        strengths = STEADY * rng.uniform(0.1, 0.6, times.size) ** 2
        for part in range(3):  # three sizes of drop
            chosen = slice(part, None, 3)
            force = pulses(times[chosen], strengths[chosen], np.full(times[chosen].shape, 4e-4), samples)
            sound += convolve(force, self._drop_modes(part, rng).ring(4000))
        return np.asarray(sound, dtype=np.float32)

    def _drop_modes(self, part: int, rng: np.random.Generator) -> Modes:
        if self.surface == "metal":
            modes = body("bar", METAL, 0.12 + 0.08 * part, rng)
            return Modes(modes.frequency, modes.decay + 60, modes.gain)  # a roof lies on wood
        # Water: bubbles ring at 3.26 / radius (Minnaert, 1933), here 0.8 to 2.2 mm. Leaves: a dull tap.
        pitch = (4000.0, 2600.0, 1500.0)[part] if self.surface == "water" else (900.0, 600.0, 400.0)[part]
        return Modes(np.array([pitch]), np.array([0.05 if self.surface == "water" else 0.3]) * pitch, np.array([1.0]))


@dataclass(frozen=True)
class Fire(Actor):
    """A wood fire: its flames roar as high as they are, and every spark that flies is a crackle."""

    kind = "fire"
    place: Place
    intensity: np.ndarray
    crackles: tuple[float, ...]
    strengths: tuple[float, ...]
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Fire:
        """From embers to a blaze, with up to four crackles a second."""
        heat = curve(rng, duration, 0.1, 1.0, rate=0.7)
        times = poisson(rng, heat, float(rng.uniform(1.0, 4.0)))
        strengths = rng.uniform(0.3, 1.0, times.size)
        return cls(place, heat, tuple(map(float, times)), tuple(map(float, strengths)), int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        crackles = zip(self.crackles, self.strengths, strict=True)
        events = tuple(Event(time, strength, "wood", self.kind) for time, strength in crackles)
        return Source(self.kind, "wood", events, self.intensity)

    def draw(self, canvas: Canvas, time: float) -> None:
        heat, unit, place = at(self.intensity, time), self.place.unit, self.place
        canvas.glow(*place.view(0.0, 0.3), 1.1 * place.zoom, (1.0, 0.45, 0.12), 0.15 + 0.4 * heat)
        canvas.bar(place.view(-0.36, 0.03), place.view(0.34, 0.10), 0.05 * unit, WOOD.paint)
        canvas.bar(place.view(0.36, 0.03), place.view(-0.34, 0.10), 0.05 * unit, (0.30, 0.16, 0.08))
        tongues = np.arange(7)
        reach = 1 + 0.25 * np.sin(time * (9 + tongues) + 2.4 * tongues) * np.sin(time * 3.1 + tongues)  # [7]
        layers: tuple[tuple[Colour, float], ...] = (
            ((0.90, 0.22, 0.05), 1.0),
            ((1.0, 0.55, 0.08), 0.72),
            ((1.0, 0.92, 0.45), 0.42),
        )
        for colour, share in layers:
            for tongue in tongues:
                x = 0.09 * (tongue - 3) * share
                tall = (0.08 + 0.85 * heat) * share * reach[tongue] * (1 - 0.09 * abs(tongue - 3))
                lean = 0.05 * np.sin(time * 7 + tongue * 1.7)
                canvas.bar(
                    place.view(x, 0.10), place.view(x + lean, 0.10 + tall), 0.075 * share * unit, colour, 0.85, 0.012
                )
        self._draw_sparks(canvas, time)

    def _draw_sparks(self, canvas: Canvas, time: float) -> None:
        """A flash where it cracks, then embers that rise and fade within 0.7 s."""
        for index, (born, strength) in enumerate(zip(self.crackles, self.strengths, strict=True)):
            age = time - born
            if not 0 <= age < 0.7:
                continue
            rng = np.random.default_rng([self.flaws, index])
            speed = rng.uniform([-0.7, 0.6], [0.7, 1.6], (int(4 + 8 * strength), 2)) * (0.6 + 0.6 * strength)
            spots = np.array([0.0, 0.15]) + speed * age + np.array([0.0, 0.3]) * age * age  # metres
            starts = np.array([self.place.view(x, y) for x, y in spots])
            glow = np.full(len(starts), (1 - age / 0.7) * 1.5)
            if age < 0.1:
                canvas.glow(*self.place.view(0.0, 0.15), 0.3 * self.place.zoom, (1.0, 0.9, 0.6), strength)
            canvas.streaks(starts, starts + np.array([0.0, 0.015]), (1.0, 0.85, 0.4), glow, 0.012 * self.place.zoom)

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        heat = stretched(self.intensity, samples)
        lapping = 1 + 0.5 * shaped(rng, samples, band(2, 9))  # the flames flutter
        roar = np.float32(0.35 * STEADY) * heat * np.maximum(lapping, 0) * shaped(rng, samples, band(90, 450))
        hiss = np.float32(0.04 * STEADY) * heat * shaped(rng, samples, band(1500, 6000))
        return np.asarray(roar + hiss + self._crackle(rng, samples), dtype=np.float32)

    def _crackle(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        """The snaps that are seen, and among them many small ones that are not: most faint, a few nearly as loud."""
        small = poisson(rng, self.intensity, 45.0)
        times = np.concatenate([self.crackles, small])
        faint = 0.05 * rng.uniform(0.0, 1.0, small.size) ** -0.6  # a power law: many faint ones for each loud one
        strengths = STEADY * np.concatenate([self.strengths, np.minimum(faint, 0.5)])
        sound = np.zeros(samples, dtype=np.float32)
        for part, (pitch, fades) in enumerate(((900.0, 90.0), (1800.0, 50.0), (3600.0, 25.0))):  # Hz, samples
            chosen = slice(part, None, 3)
            snap = shaped(rng, 600, band(0.6 * pitch, 1.9 * pitch)) * np.exp(-np.arange(600) / fades)
            force = pulses(times[chosen], strengths[chosen], np.full(times[chosen].shape, 2e-4), samples)
            sound += convolve(force, (1.4 * snap).astype(np.float32))
        return sound


@dataclass(frozen=True)
class Waves(Actor):
    """Swell that comes towards us, breaks at ``times`` with ``strengths``, runs up the beach and back."""

    kind = "waves"
    place: Place
    times: tuple[float, ...]
    strengths: tuple[float, ...]
    duration: float
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Waves:
        """A wave every 2 to 4 seconds."""
        period = float(rng.uniform(2.0, 4.0))
        times = np.arange(rng.uniform(-0.5, 1.0) * period, duration + period, period)
        times = times + 0.08 * period * rng.standard_normal(times.size)
        strengths = rng.uniform(0.35, 1.1, times.size)
        return cls(place, tuple(map(float, times)), tuple(map(float, strengths)), duration, int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        blows = zip(self.times, self.strengths, strict=True)
        events = tuple(Event(time, strength, "water", self.kind) for time, strength in blows if time >= 0)
        clock = np.arange(int(np.ceil(self.duration * INTENSITY_RATE)) + 1) / INTENSITY_RATE
        age = clock[:, np.newaxis] - np.array(self.times)  # [values, waves]
        foam = np.where(age > 0, np.minimum(age / 0.06, 1) * np.exp(-np.maximum(age, 0) / 0.9), 0) * self.strengths
        return Source(self.kind, "water", events, np.clip(foam.sum(axis=1), 0, 1).astype(np.float32))

    def draw(self, canvas: Canvas, time: float) -> None:
        horizon, shore = 0.30, 0.72
        canvas.below(np.full(2, horizon), (0.12, 0.36, 0.50))
        canvas.below(np.full(2, shore), (0.80, 0.70, 0.50))
        x = np.linspace(0, 1, 33)
        for born, strength in zip(self.times, self.strengths, strict=True):
            age = time - born
            if not -2.5 < age < 2.2:
                continue
            if age < 0:  # it comes nearer, higher and steeper
                near = (1 + age / 2.5) ** 1.6
                row = horizon + (shore - horizon) * near + 0.012 * np.sin(9 * x + born)
                tall = 0.16 * strength * near * self.place.zoom
                canvas.below(row - tall, (0.10, 0.30 + 0.1 * near, 0.45 + 0.1 * near), _fading(max(tall, 0.012)))
                canvas.below(row - tall, (0.75, 0.88, 0.95), _fading(0.012 + 0.02 * near))
                continue
            run = 0.25 * strength * np.sin(np.pi * min(age / 2.2, 1.0) ** 0.6)
            edge = shore + run + 0.02 * np.sin(14 * x + born) * run / 0.2
            spray = 0.15 * strength * np.exp(-age / 0.35) * self.place.zoom
            canvas.below(
                edge - run - 0.03 - spray, (0.97, 0.99, 1.0), _fading(float(run) + 0.04 + spray, 1 - age / 2.4)
            )

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        times, strengths = np.array(self.times), STEADY * np.array(self.strengths)
        crash = shaped(rng, samples, band(150, 2200)) * bursts(times, 0.6 * strengths, 0.06, 0.6, samples)
        back = shaped(rng, samples, band(2500, 7000)) * bursts(times + 1.0, 0.1 * strengths, 0.5, 0.5, samples)
        return np.asarray(crash + back + np.float32(0.03 * STEADY) * shaped(rng, samples, band(80, 400)))


def _fading(depth: float, strength: float = 1.0) -> Veil:
    """Opaque at a line, gone ``depth`` below it."""
    return lambda u, v: strength * np.clip(1.4 * (1 - v / depth), 0.0, 1.0)
