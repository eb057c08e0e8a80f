"""Somebody who walks past us, seen from a camera that goes along: every step sounds of the ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mdsgen.scenes.actor import LEVEL, Actor, Place, draw_contact
from mdsgen.scenes.material import METAL, WOOD, Colour
from mdsgen.scenes.modal import body, convolve, pulses
from mdsgen.scenes.noise import band, bursts, shaped
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.truth import Event, Source

GROUNDS: dict[str, tuple[Colour, Colour]] = {
    "wood": ((0.60, 0.38, 0.18), (0.42, 0.25, 0.11)),
    "metal": ((0.55, 0.59, 0.66), (0.35, 0.38, 0.44)),
    "gravel": ((0.56, 0.51, 0.45), (0.36, 0.32, 0.28)),
    "snow": ((0.95, 0.97, 1.00), (0.72, 0.80, 0.92)),
}
"""What is walked on: its colour, and that of its boards, plates, stones or drifts."""
_SWING = 1.24  # times from step to step that a foot is in the air: runners and walkers alike
_LEG = 0.85  # metres


@dataclass(frozen=True)
class Walker(Actor):
    """Feet that come down in turn at ``times`` with ``strengths``, each ``stride`` metres before the other."""

    kind = "footsteps"
    place: Place
    ground: str
    times: tuple[float, ...]
    strengths: tuple[float, ...]
    stride: float
    clothes: Colour
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Walker:
        """Strolling to running, standing still at first or at the end in some."""
        pace = float(np.exp(rng.uniform(np.log(0.30), np.log(0.75))))
        begin, end = float(rng.uniform(0.2, 1.5)), float(rng.uniform(0.7, 1.3)) * duration
        times = np.arange(begin, end, pace)
        times = times + 0.03 * pace * rng.standard_normal(times.size)
        strengths = np.clip(0.45 / pace * rng.uniform(0.5, 0.9) * rng.uniform(0.85, 1.15, times.size), 0.25, 1.3)
        ground = list(GROUNDS)[rng.integers(len(GROUNDS))]
        red, green, blue = map(float, rng.uniform(0.1, 0.9, 3))
        spot = replace(place, metres=2.3)
        stride, flaws = float(rng.uniform(0.5, 0.8)), int(rng.integers(1 << 31))
        return cls(
            spot, ground, tuple(map(float, times)), tuple(map(float, strengths)), stride, (red, green, blue), flaws
        )

    @cached_property
    def source(self) -> Source:
        steps = zip(self.times, self.strengths, strict=True)
        events = tuple(Event(time, strength, self.ground, self.kind) for time, strength in steps)
        return Source(self.kind, self.ground, events)

    def foot(self, time: float, side: int) -> tuple[float, float]:
        """Where a foot (0 or 1) is: metres from where the walk began, and above the ground. It lands at its times."""
        landings = np.array(self.times[side::2])
        spots = self.stride * (side + 1 + 2 * np.arange(len(landings)))
        count = int(np.searchsorted(landings, time, side="right"))
        here = float(spots[count - 1]) if count else self.stride * (side - 1) * 0.3
        if count == len(landings):
            return here, 0.0
        pace = (self.times[-1] - self.times[0]) / max(len(self.times) - 1, 1) if len(self.times) > 1 else 0.5
        lift = min(_SWING * pace, float(landings[count]) - (float(landings[count - 1]) if count else -1.0))
        share = 1 - (float(landings[count]) - time) / lift
        if share <= 0:
            return here, 0.0
        soft = share * share * (3 - 2 * share)
        height = (0.10 + 0.16 * min(self.strengths[0], 1.0)) * np.sin(np.pi * share**0.8)
        return here + (float(spots[count]) - here) * soft, float(height)

    def draw(self, canvas: Canvas, time: float) -> None:
        feet = [self.foot(time, side) for side in (0, 1)]
        middle = (feet[0][0] + feet[1][0]) / 2
        self._draw_ground(canvas, middle)
        self._draw_prints(canvas, time, middle)
        bob = 0.04 * (abs(feet[0][0] - feet[1][0]) / max(self.stride, 0.1) - 0.5)
        hip, unit = (0.0, _LEG - bob), self.place.unit
        dark: Colour = (0.55 * self.clothes[0], 0.55 * self.clothes[1], 0.55 * self.clothes[2])
        for (x, y), colour in zip(feet, (dark, self.clothes), strict=True):
            self.ground_shadow(canvas, x - middle, 0.3, 0.5 - min(y, 0.2))
            knee = ((x - middle) / 2 + 0.1 + 0.5 * y, (hip[1] + y) / 2 + 0.04)
            ankle = (x - middle, y + 0.07)
            canvas.bar(self.place.view(*hip), self.place.view(*knee), 0.075 * unit, colour, tip=0.06 * unit)
            canvas.bar(self.place.view(*knee), self.place.view(*ankle), 0.06 * unit, colour, tip=0.045 * unit)
            toe = self.place.view(x - middle + 0.17, y + 0.04)
            canvas.bar(self.place.view(x - middle - 0.03, y + 0.045), toe, 0.045 * unit, (0.08, 0.07, 0.07))
        canvas.bar(self.place.view(*hip), self.place.view(0.04, 1.38), 0.13 * unit, self.clothes, tip=0.17 * unit)
        canvas.disc(*self.place.view(0.07, 1.70), 0.13 * unit, (0.86, 0.66, 0.52))

    def _draw_ground(self, canvas: Canvas, middle: float) -> None:
        base, mark = GROUNDS[self.ground]
        canvas.below(np.full(2, self.place.ground - 0.02), base)
        x0 = middle - self.place.x / self.place.unit
        for index in range(int(x0 / 0.4) - 1, int((x0 + 1 / self.place.unit) / 0.4) + 2):
            x, y = self.place.view(0.4 * index - middle, -0.08)
            if self.ground in ("wood", "metal"):
                canvas.bar((x, y), (x - 0.03, 1.0), 0.008, mark)
                continue
            spread = 0.5 + 0.5 * np.sin(index * 12.9898)
            canvas.disc(x, y + 0.02 + 0.08 * spread, (0.012 if self.ground == "gravel" else 0.05), mark, 0.8, ry=0.010)

    def _draw_prints(self, canvas: Canvas, time: float, middle: float) -> None:
        """Where the feet came down, and the dust of the last steps."""
        for index, event in enumerate(self.source.events):
            spot = self.stride * (index + 1) - middle
            if event.time > time or abs(spot) * self.place.unit > 1:
                continue
            x, y = self.place.view(spot + 0.07, 0.0)
            if self.ground in ("gravel", "snow"):
                canvas.disc(x, y + 0.012, 0.12 * self.place.unit, GROUNDS[self.ground][1], 0.9, ry=0.015)
            draw_contact(canvas, self.place, (spot, 0.0), (event,), time)

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        times, strengths = np.array(self.times), LEVEL * np.array(self.strengths)
        if self.ground in ("wood", "metal"):
            material, size = (WOOD, 0.5) if self.ground == "wood" else (METAL, 0.45)
            ring = body("bar", material, size, rng).ring(samples)
            toes = times + 0.07  # heel, then toes
            force = pulses(times, strengths, np.full(times.shape, 2e-3), samples)
            force += pulses(toes, 0.45 * strengths, np.full(times.shape, 3e-3), samples)
            scuff = shaped(rng, samples, band(300, 2500)) * bursts(times, 0.25 * strengths, 0.002, 0.02, samples)
            return np.asarray(convolve(force, ring) + scuff)
        if self.ground == "gravel":
            stones = np.abs(rng.standard_normal(samples, dtype=np.float32)) ** 3 / 4  # few are large
            crunch = shaped(rng, samples, band(900, 5000)) * stones
            return np.asarray(0.5 * crunch * bursts(times, strengths, 0.004, 0.055, samples))
        return np.asarray(0.35 * shaped(rng, samples, band(250, 1400)) * bursts(times, strengths, 0.012, 0.09, samples))
