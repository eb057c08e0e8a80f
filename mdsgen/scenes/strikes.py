"""Things that are hit by something that swings: a bar, a bell, a drum."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes.actor import LEVEL, Actor, Place, draw_contact
from mdsgen.scenes.material import CERAMIC, GLASS, METAL, SKIN, WOOD, Colour, Material
from mdsgen.scenes.modal import Modes, body, convolve, membrane, pulses
from mdsgen.scenes.noise import band, shaped
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.truth import Event, Source

SWING = 0.2
"""Seconds from the top of a swing to the blow: a spring's quarter period, whatever the height of the swing."""
RAISED = 1.15
"""Radians that an arm is raised for a blow of strength 1: its speed at the blow is proportional to that."""
_HANDLE: Colour = (0.30, 0.20, 0.12)
_SLAP = 0.22
_SLAP_FADES = 0.011  # seconds in which the slap of a drumstick falls to 1/e
_SLAP_LENGTH = 1600  # samples, nine times as long


@dataclass(frozen=True)
class Struck(Actor):
    """Something of ``material``, ``size`` metres across, that is hit at ``times`` with ``strengths``."""

    arms: ClassVar[int] = 1
    place: Place
    material: Material
    size: float
    times: tuple[float, ...]
    strengths: tuple[float, ...]
    flaws: int = 0

    @cached_property
    def source(self) -> Source:
        blows = zip(self.times, self.strengths, strict=True)
        events = tuple(Event(time, strength, self.material.name, self.kind) for time, strength in blows)
        return Source(self.kind, self.material.name, events, pitch=self.modes.pitch)

    @property
    @abstractmethod
    def modes(self) -> Modes:
        """How it rings."""

    @property
    def contact(self) -> float:
        """Seconds that a blow lasts."""
        return self.material.contact * 1.5

    def sound(self, samples: int) -> np.ndarray:
        times, strengths = np.array(self.times), np.array(self.strengths)
        force = pulses(times, LEVEL * strengths, np.full(times.shape, self.contact), samples)
        return convolve(force, self.modes.ring(samples))

    def raised(self, time: float, arm: int = 0) -> float:
        """Radians that an arm is above the blow. It springs back, waits and swings; the arms take turns."""
        times, strengths = self.times[arm :: self.arms], self.strengths[arm :: self.arms]
        coming = next((index for index, blow in enumerate(times) if time < blow), len(times))
        top = RAISED * (strengths[coming] if coming < len(times) else 0.3)
        start = times[coming - 1] if coming else -10.0
        end = times[coming] if coming < len(times) else start + 10.0
        if time > end - SWING:
            return float(top * np.sin(np.pi / 2 * (end - time) / SWING))
        spring = min(end - SWING - start, 0.3)
        return float(top * np.sin(np.pi / 2 * min((time - start) / spring, 1.0)))

    def tremble(self, time: float) -> float:
        """How much it still shakes, 1 right after a blow of strength 1: it dies away as its lowest mode does."""
        age = time - np.array(self.times)
        left = np.where(age >= 0, np.array(self.strengths) * np.exp(-np.maximum(age, 0) * self._fading), 0.0)
        return float(left.max(initial=0.0))

    @cached_property
    def _fading(self) -> float:
        return float(max(self.modes.decay[0], 1.0))

    def draw_arm(
        self, canvas: Canvas, pivot: tuple[float, float], blow: tuple[float, float], turn: float, head: float
    ) -> None:
        """A hammer or stick that hits at ``blow`` with a head ``head`` metres thick.

        It is turned around ``pivot`` by ``turn`` radians, to the left where that is positive.
        """
        reach, c, s = np.subtract(blow, pivot), np.cos(turn), np.sin(turn)
        end = (pivot[0] + reach[0] * c - reach[1] * s, pivot[1] + reach[0] * s + reach[1] * c)
        unit = self.place.unit
        canvas.bar(self.place.view(*pivot), self.place.view(*end), 0.014 * unit, _HANDLE)
        canvas.disc(*self.place.view(*end), head * unit, (0.13, 0.13, 0.15))


class Hammer(Struck):
    """A bar on two feet, hit by a hammer."""

    kind = "hammer"

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Hammer:
        """A bar of wood, metal, glass or ceramic, 25 to 80 cm long."""
        material = (WOOD, METAL, GLASS, CERAMIC)[rng.integers(4)]
        times, strengths = rhythm(rng, duration, fastest=0.38, slowest=1.1)
        return cls(place, material, float(rng.uniform(0.25, 0.8)), times, strengths, int(rng.integers(1 << 31)))

    @cached_property
    def modes(self) -> Modes:
        return body("bar", self.material, self.size, np.random.default_rng([self.flaws]))

    def draw(self, canvas: Canvas, time: float) -> None:
        half, unit, thick = self.size / 2, self.place.unit, 0.035
        self.ground_shadow(canvas, 0.0, 1.3 * self.size, 0.4)
        for x in (-0.55 * half, 0.55 * half):
            canvas.box(*self.place.view(x, 0.08), (0.02 * unit, 0.08 * unit), (0.2, 0.2, 0.22))
        shake = 0.03 * self.tremble(time)
        for offset in (-shake, shake) if shake > 0.002 else (0.0,):
            x, y = self.place.view(0.0, 0.16 + thick + offset)
            alpha = self.material.opacity * (0.6 if shake > 0.002 else 1.0)
            canvas.box(x, y, (half * unit, thick * unit), self.material.paint, alpha)
        top = (0.0, 0.16 + 2 * thick)
        draw_contact(canvas, self.place, top, self.source.events, time)
        self.draw_arm(canvas, (0.52, 0.34), (0.0, top[1] + 0.05), -self.raised(time), 0.05)


class Bell(Struck):
    """A bell that hangs from a beam, hit by a hammer from the side."""

    kind = "bell"

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Bell:
        """Of metal, sometimes of glass, 20 to 60 cm across."""
        material = GLASS if rng.random() < 0.2 else METAL
        times, strengths = rhythm(rng, duration, fastest=0.7, slowest=2.2)
        return cls(place, material, float(rng.uniform(0.2, 0.6)), times, strengths, int(rng.integers(1 << 31)))

    @cached_property
    def modes(self) -> Modes:
        return body("bell", self.material, self.size, np.random.default_rng([self.flaws]))

    def draw(self, canvas: Canvas, time: float) -> None:
        half, unit = self.size / 2, self.place.unit
        self.ground_shadow(canvas, 0.0, self.size, 0.25)
        low, high = 0.35, 0.35 + 1.1 * self.size
        canvas.bar(self.place.view(0.0, high), (self.place.view(0.0, high)[0], -0.1), 0.012 * unit, _HANDLE)
        shake = 0.035 * self.tremble(time)
        gold = _bronze if self.material is METAL else self.material.paint
        for offset in (-shake, shake) if shake > 0.002 else (0.0,):
            alpha = self.material.opacity * (0.6 if shake > 0.002 else 1.0)
            crown, mouth = self.place.view(offset, high - 0.35 * self.size), self.place.view(offset, low + 0.1 * half)
            canvas.bar(crown, mouth, 0.55 * half * unit, gold, alpha, tip=0.9 * half * unit)
            canvas.box(mouth[0], mouth[1] + 0.6 * half * unit, (half * unit, 0.05 * unit), (0.45, 0.33, 0.10), alpha)
        blow = (half, low + 0.05)
        draw_contact(canvas, self.place, blow, self.source.events, time)
        self.draw_arm(canvas, (half + 0.08, low + 0.34), (blow[0] + 0.05, blow[1]), self.raised(time), 0.055)


def _bronze(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    light = 0.75 + 0.35 * np.cos(2.6 * (v + 0.35)) - 0.15 * u  # v runs across: the bell is round
    return np.asarray(light[..., np.newaxis] * np.array([0.86, 0.64, 0.22], dtype=np.float32))


class Drum(Struck):
    """A drum that two sticks hit in turn."""

    kind = "drum"
    arms = 2

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Drum:
        """22 to 65 cm across."""
        times, strengths = rhythm(rng, duration, fastest=0.22, slowest=0.6)
        return cls(place, SKIN, float(rng.uniform(0.22, 0.65)), times, strengths, int(rng.integers(1 << 31)))

    @cached_property
    def modes(self) -> Modes:
        return membrane(self.size, np.random.default_rng([self.flaws]))

    def sound(self, samples: int) -> np.ndarray:
        """The skin's ring behind the slap of the stick: wood on skin is broad noise, soon gone.

        A harder blow is not only louder but brighter, so that its slap grows faster than its ring.
        """
        times, strengths = np.array(self.times), np.array(self.strengths)
        slap = np.random.default_rng([self.flaws, 1])
        force = pulses(times, _SLAP * LEVEL * strengths**1.5, np.full(times.shape, 2e-4), samples)
        noise = shaped(slap, _SLAP_LENGTH, band(350, 3200)) * np.exp(
            -np.arange(_SLAP_LENGTH) / (_SLAP_FADES * SAMPLE_RATE)
        )
        return np.asarray(super().sound(samples) + convolve(force, noise.astype(np.float32)))

    def draw(self, canvas: Canvas, time: float) -> None:
        half, unit, tall = self.size / 2, self.place.unit, 0.22 + 0.35 * self.size
        self.ground_shadow(canvas, 0.0, 1.4 * self.size, 0.4)
        shell: Colour = ((0.75, 0.12, 0.25), (0.12, 0.30, 0.70), (0.10, 0.50, 0.30))[self.flaws % 3]
        x, y = self.place.view(0.0, tall / 2)
        canvas.box(x, y, (half * unit, tall / 2 * unit), shell)
        canvas.disc(x, self.place.ground, half * unit, shell, ry=0.2 * half * unit)
        head_y = self.place.view(0.0, tall)[1]
        shake = self.tremble(time)
        canvas.disc(x, head_y, 1.04 * half * unit, (0.85, 0.85, 0.88), ry=0.34 * half * unit)
        canvas.disc(x, head_y, 0.97 * half * unit, self.material.colour, ry=0.29 * half * unit)
        canvas.disc(x, head_y, 0.55 * half * unit, (0.35, 0.25, 0.15), min(0.8 * shake, 0.8), ry=0.16 * half * unit)
        draw_contact(canvas, self.place, (0.0, tall), self.source.events, time)
        for arm, side in enumerate((-1, 1)):
            pivot, blow = (side * (half + 0.3), tall + 0.2), (side * 0.3 * half, tall + 0.02)
            self.draw_arm(canvas, pivot, blow, -side * self.raised(time, arm), 0.025)


def rhythm(
    rng: np.random.Generator, duration: float, fastest: float, slowest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Times and strengths of blows: a beat between ``fastest`` and ``slowest`` seconds, with rests and accents."""
    beat = float(np.exp(rng.uniform(np.log(fastest), np.log(slowest))))
    grid = np.arange(rng.uniform(0.25, 1.0), duration + beat, beat)
    grid = grid + 0.06 * beat * rng.standard_normal(grid.size)
    played = rng.random(grid.size) < rng.uniform(0.55, 1.0)
    played[0] = True
    strengths = np.clip(rng.uniform(0.35, 1.1) * rng.uniform(0.6, 1.4, grid.size), 0.25, 1.2)
    return tuple(map(float, grid[played])), tuple(map(float, strengths[played]))
