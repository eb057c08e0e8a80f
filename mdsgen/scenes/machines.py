"""An engine, a fan and passing cars: their speed is seen, and heard as pitch and loudness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes.actor import SHUTTER, STEADY, Actor, Place
from mdsgen.scenes.material import Colour
from mdsgen.scenes.noise import at, band, curve, shaped, stretched
from mdsgen.scenes.raster import Canvas, Veil
from mdsgen.scenes.truth import INTENSITY_RATE, Event, Source

SOUND_SPEED = 343.0
"""Metres per second, in air."""
_TABLE = 4096


def tone(frequency: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """A sound of changing ``frequency [samples]`` in Hz with harmonics of these amplitudes, float32 ``[samples]``."""
    phase = np.arange(_TABLE)[:, np.newaxis] * np.arange(1, harmonics.size + 1) * (2 * np.pi / _TABLE)
    wave = (np.sin(phase + 0.7 * np.arange(harmonics.size) ** 2) @ harmonics).astype(np.float32)  # [table]
    turns = np.cumsum(frequency, dtype=np.float64) * (_TABLE / SAMPLE_RATE)
    return np.asarray(wave[turns.astype(np.int64) % _TABLE])


@dataclass(frozen=True)
class Engine(Actor):
    """A four-stroke engine with a dial: speed is the needle, the smoke, the shaking, and the pitch of its firing."""

    kind = "engine"
    place: Place
    cylinders: int
    intensity: np.ndarray
    colour: Colour
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Engine:
        """Two to six cylinders, between idling and full speed."""
        colours: tuple[Colour, ...] = ((0.85, 0.45, 0.08), (0.15, 0.45, 0.25), (0.20, 0.25, 0.60))
        speed = curve(rng, duration, 0.0, 1.0, rate=0.6)
        return cls(place, int(rng.choice([2, 4, 6])), speed, colours[rng.integers(3)], int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        return Source(self.kind, "metal", (), self.intensity, self.firing(self.intensity))

    def firing(self, speed: np.ndarray) -> np.ndarray:
        """In Hz, at a speed of 0..1: every second turn, in each cylinder."""
        return (700 + 3300 * speed) / 60 * (self.cylinders / 2)

    def draw(self, canvas: Canvas, time: float) -> None:
        speed, unit, place = at(self.intensity, time), self.place.unit, self.place
        self.ground_shadow(canvas, 0.0, 1.0, 0.5)
        self._draw_smoke(canvas, time, speed)
        canvas.bar(place.view(0.30, 0.4), place.view(0.30, 0.62), 0.035 * unit, (0.22, 0.22, 0.24))
        shake = 0.004 + 0.03 * speed
        for side in (-1, 1):
            x, y = place.view(side * shake, 0.26 + side * 0.4 * shake)
            canvas.box(x, y, (0.42 * unit, 0.20 * unit), self.colour, 0.65)
            for index in range(self.cylinders):
                top = (0.56 * (index + 0.5) / self.cylinders - 0.38) + side * shake
                canvas.box(*place.view(top, 0.47), (0.16 / self.cylinders * unit, 0.05 * unit), (0.5, 0.5, 0.54), 0.65)
        dial = place.view(-0.12, 0.26)
        canvas.disc(*dial, 0.16 * unit, (0.97, 0.97, 0.93))
        angle = np.pi * (1.2 - 1.4 * speed)
        end = (dial[0] + 0.14 * unit * np.cos(angle), dial[1] - 0.14 * unit * np.sin(angle))
        canvas.bar(dial, (float(end[0]), float(end[1])), 0.02 * unit, (0.85, 0.05, 0.05))
        wheel = place.view(0.26, 0.22)
        canvas.disc(*wheel, 0.13 * unit, (0.2, 0.2, 0.2))
        canvas.disc(*wheel, 0.10 * unit, (0.75, 0.75, 0.78), _blades(3, 2 * np.pi * time * (5 + 20 * speed), 1 - speed))

    def _draw_smoke(self, canvas: Canvas, time: float, speed: float) -> None:
        """Puffs that rise faster, thicker and more often the faster it runs."""
        for index in range(7):
            age = (index + time * 3.0) % 7 / 7
            x, y = self.place.view(0.30 + 0.25 * age, 0.65 + (0.15 + 0.7 * speed) * age)
            radius = (0.03 + (0.05 + 0.08 * speed) * age) * self.place.unit
            canvas.disc(x, y, radius, (0.25, 0.25, 0.27), (0.15 + 0.6 * speed) * (1 - age))

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        speed = stretched(self.intensity, samples)
        order = np.arange(1, 33)
        harmonics = rng.uniform(0.6, 1.0, order.size) / order**0.9
        pulse = tone(self.firing(speed), harmonics / harmonics.sum())
        clatter = shaped(rng, samples, band(500, 3000)) * np.maximum(pulse, 0)
        return np.asarray((0.25 + 0.75 * speed) * (STEADY * (1.5 * pulse + 0.7 * clatter)), dtype=np.float32)


@dataclass(frozen=True)
class Fan(Actor):
    """A fan with ribbons on its cage: the faster it turns, the more its blades blur and the higher the ribbons fly."""

    kind = "fan"
    place: Place
    blades: int
    intensity: np.ndarray
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Fan:
        """Three to five blades, from standing still to 20 turns a second."""
        speed = curve(rng, duration, -0.15, 1.0, rate=0.5)
        return cls(place, int(rng.integers(3, 6)), np.maximum(speed, 0), int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        return Source(self.kind, "air", (), self.intensity)

    @cached_property
    def _turned(self) -> np.ndarray:
        return np.cumsum(20 * self.intensity) / INTENSITY_RATE

    def draw(self, canvas: Canvas, time: float) -> None:
        speed, unit, place = at(self.intensity, time), self.place.unit, self.place
        self.ground_shadow(canvas, 0.0, 0.6, 0.45)
        canvas.bar(place.view(0.0, 0.0), place.view(0.0, 0.6), 0.03 * unit, (0.15, 0.15, 0.17))
        canvas.disc(*place.view(0.0, 0.02), 0.2 * unit, (0.15, 0.15, 0.17), ry=0.04 * unit)
        hub = place.view(0.0, 0.7)
        canvas.disc(*hub, 0.36 * unit, (0.10, 0.11, 0.13), 0.75)
        # Over the exposure a blade sweeps an angle; its contrast is the sinc of that.
        contrast = float(np.sinc(self.blades * 20 * speed * SHUTTER * 2))
        canvas.disc(
            *hub, 0.34 * unit, (0.45, 0.72, 0.90), _blades(self.blades, 2 * np.pi * at(self._turned, time), contrast)
        )
        canvas.ring(*hub, 0.36 * unit, 0.02 * unit, (0.85, 0.85, 0.88), 1.0, ry=0.36 * unit)
        canvas.disc(*hub, 0.06 * unit, (0.9, 0.9, 0.9))
        for index, row in enumerate((0.5, 0.7, 0.9)):
            lift = np.pi / 2 * min(speed * 1.15, 1.05) - 0.12 * speed * np.sin(time * (9 + 4 * index) + index)
            start = place.view(0.18, row)
            x, y = start[0] + 0.5 * unit * np.sin(lift), start[1] + 0.5 * unit * np.cos(lift)
            canvas.bar(
                start, (float(x), float(y)), 0.018 * unit, ((0.95, 0.2, 0.3), (0.98, 0.8, 0.1), (0.2, 0.8, 0.4))[index]
            )

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        speed = stretched(self.intensity, samples)
        dull, sharp = shaped(rng, samples, band(100, 500)), shaped(rng, samples, band(700, 3500))
        passing = tone(self.blades * 20 * speed, np.array([1.0, 0.6, 0.5, 0.4, 0.3, 0.2]))
        hum = tone(60 + 140 * speed, np.array([0.2, 1.0, 0.5, 0.6, 0.2]))
        flow = 0.35 * speed**1.3 * dull + 0.45 * speed**2.5 * sharp
        tones = 0.12 * speed**1.3 * passing + 0.10 * np.minimum(4 * speed, 1) * hum
        return np.asarray(STEADY * (flow + tones), dtype=np.float32)


def _blades(count: int, angle: float, contrast: float) -> Veil:
    """Opacity of a propeller: sharp where it stands, even where it turns fast."""
    return lambda u, v: np.clip(0.5 + 0.75 * contrast * np.cos(count * np.arctan2(v, u) - count * angle), 0.0, 1.0)


@dataclass(frozen=True)
class Pass:
    """A car of ``colour`` that is in the middle at ``time``, at ``speed`` m/s (negative: to the left)."""

    time: float
    speed: float
    colour: Colour
    pitch: float


@dataclass(frozen=True)
class Cars(Actor):
    """Cars that pass one after the other, ``near`` metres away: louder when near, lower when they recede."""

    kind = "car"
    place: Place
    passes: tuple[Pass, ...]
    near: float
    duration: float
    flaws: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, place: Place, duration: float) -> Cars:
        """One every 2 to 4 seconds, at 4 to 10 m/s."""
        time, passes = float(rng.uniform(0.5, 2.5)), []
        while time < duration + 1:
            speed = float(rng.uniform(4, 10) * rng.choice([-1, 1]))
            colour = ((0.85, 0.10, 0.10), (0.95, 0.80, 0.10), (0.10, 0.30, 0.80), (0.92, 0.92, 0.94))[rng.integers(4)]
            passes.append(Pass(time, speed, colour, float(rng.uniform(60, 130))))
            time += float(rng.uniform(2.0, 4.0))
        spot = replace(place, x=0.5, metres=8.0)
        return cls(spot, tuple(passes), 4.0 / place.zoom, duration, int(rng.integers(1 << 31)))

    @cached_property
    def source(self) -> Source:
        clock = np.arange(int(np.ceil(self.duration * INTENSITY_RATE)) + 1) / INTENSITY_RATE
        loud = sum((self._gain(car, clock) * abs(car.speed) / 10 for car in self.passes), np.zeros_like(clock))
        events = tuple(Event(car.time, abs(car.speed) / 10, "car", self.kind) for car in self.passes)
        return Source(self.kind, "car", events, np.clip(loud, 0, 1).astype(np.float32))

    def _distance(self, car: Pass, clock: np.ndarray) -> np.ndarray:
        return np.asarray(np.hypot(self.near, car.speed * (clock - car.time)))

    def _gain(self, car: Pass, clock: np.ndarray) -> np.ndarray:
        """Pressure falls with distance; a house at the end of the street takes what is far."""
        return np.asarray((self.near / self._distance(car, clock)) ** 1.5)

    def draw(self, canvas: Canvas, time: float) -> None:
        place, unit = self.place, self.place.unit
        canvas.below(np.full(2, place.ground - 0.05), (0.27, 0.27, 0.29))
        for index in range(6):
            canvas.box(0.1 + 0.2 * index, place.ground + 0.06, (0.05, 0.008), (0.9, 0.9, 0.85))
        for car in self.passes:
            x = car.speed * (time - car.time)
            if abs(x) * unit > 1:
                continue
            facing = np.sign(car.speed)
            self.ground_shadow(canvas, x, 4.4, 0.5)
            blur = abs(car.speed) * SHUTTER
            for offset in (-blur, blur):
                canvas.bar(
                    place.view(x - 1.1 + offset, 0.75), place.view(x + 1.1 + offset, 0.75), 0.5 * unit, car.colour, 0.7
                )
                canvas.bar(place.view(x - 0.7, 1.35), place.view(x + 0.3, 1.35), 0.4 * unit, (0.55, 0.70, 0.80), 0.7)
            for wheel in (-1.0, 1.0):
                canvas.disc(*place.view(x + wheel, 0.33), 0.36 * unit, (0.06, 0.06, 0.07))
                canvas.disc(*place.view(x + wheel, 0.33), 0.16 * unit, (0.7, 0.7, 0.72))
            canvas.glow(*place.view(x + facing * 1.7, 0.8), 0.06, (1.0, 0.95, 0.7), 0.9)

    def sound(self, samples: int) -> np.ndarray:
        rng = np.random.default_rng([self.flaws])
        clock = np.arange(samples) / SAMPLE_RATE
        tyres, sound = shaped(rng, samples, band(250, 2000)), np.zeros(samples, dtype=np.float32)
        harmonics = 1 / np.arange(1, 17) ** 0.8
        for car in self.passes:
            gain = self._gain(car, clock) * abs(car.speed) / 10
            receding = car.speed**2 * (clock - car.time) / self._distance(car, clock)  # m/s
            motor = tone(car.pitch / (1 + receding / SOUND_SPEED), harmonics / harmonics.sum())  # Doppler
            sound += (STEADY * gain * (0.5 * tyres + 0.8 * motor)).astype(np.float32)
        return sound
